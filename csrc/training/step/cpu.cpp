// Threads around the training-step kernels: pieces of tokens or of columns, whichever makes sums independent
// of how many there are.
#include <algorithm>

#include "base/runtime/thread_pool.h"
#include "training/step/isa.h"

namespace bioner::step {

BIONER_DEFINE_KERNELS_FOR

namespace {

// Values below which a piece of work is not worth waking a thread for.
constexpr std::int64_t kGrainValues = std::int64_t{8} << 10;

// Rows of a piece.
std::int64_t grain(std::int64_t width) {
  return std::max<std::int64_t>(1, kGrainValues / std::max<std::int64_t>(1, width));
}

// Pieces of whole blocks of columns: a block is written as a whole, zeros beyond the last column included.
template <typename Body>
void by_columns(std::int64_t columns, std::int64_t rows, int threads, const Body& body) {
  parallel_for((columns + kColumns - 1) / kColumns, grain(rows * kColumns), threads,
               [&](std::int64_t begin, std::int64_t end) {
                 body(begin * kColumns, std::min(end * kColumns, columns));
               });
}

}  // namespace

void positions_forward(const Positions& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.rows, grain(op.filters), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.activate(op, begin, end); });
  parallel_for(op.tokens, grain(op.slots * op.filters), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.place(op, begin, end); });
}

void positions_backward(const Positions& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  by_columns(op.filters, op.rows, threads,
             [&](std::int64_t begin, std::int64_t end) { kernels.positions_grad(op, begin, end); });
}

void units_forward(const Units& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.tokens, grain(op.width), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.units(op, begin, end); });
}

void units_backward(const Units& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  by_columns(op.width, op.tokens, threads,
             [&](std::int64_t begin, std::int64_t end) { kernels.units_grad(op, begin, end); });
}

void rows_forward(const Rows& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.count, grain(op.width), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.rows(op, begin, end); });
}

void rows_also_backward(const Rows& op, simd::Level level) { kernels_for(level).rows_also(op); }

void rows_sgd(const Rows& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(kRowOwners, grain(op.width * op.count / kRowOwners), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.rows_sgd(op, begin, end); });
}

void fold(const Fold& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.rows, grain(op.width * op.window), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.fold(op, begin, end); });
}

void head(const Head& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.rows, grain(op.width * op.tags), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.head_rows(op, begin, end); });
  parallel_for(op.width, grain(op.rows * op.tags), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.head_columns(op, begin, end); });
}

void adam(const Adam& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.count, kGrainValues, threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.adam(op, begin, end); });
}

void sgd(const Sgd& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.count, kGrainValues, threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.sgd(op, begin, end); });
}

}  // namespace bioner::step
