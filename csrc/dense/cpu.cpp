// Threads around the kernels of dense layers.
#include <algorithm>

#include "dense/kernels.h"
#include "runtime/simd.h"
#include "runtime/thread_pool.h"

namespace bioner::dense {

bool available() {
#if defined(BIONER_AMX)
  return simd::active() == simd::Level::kAvx512 && simd::extension() == simd::Extension::kAmx;
#else
  return false;
#endif
}

#if defined(BIONER_AMX)
namespace {

// Multiply-adds below which a piece of work is not worth waking a thread for.
constexpr std::int64_t kGrain = std::int64_t{1} << 20;

template <typename Op>
void split(const Op& op, std::int64_t blocks, std::int64_t work, int threads,
           void (*body)(const Op&, std::int64_t, std::int64_t)) {
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, work));
  parallel_for(blocks, grain, threads, [&](std::int64_t begin, std::int64_t end) { body(op, begin, end); });
}

}  // namespace

void forward(const Forward& op, int threads) {
  split(op, depths(op.outputs), op.rows * op.inputs * kBlock, threads, amx::forward);
}

void backward(const Backward& op, int threads) {
  split(op, depths(op.inputs), op.rows * op.outputs * kBlock, threads, amx::backward);
}

void operand(const Operand& op, int threads) {
  constexpr std::int64_t kMoved = 64;  // a value moved is worth so many multiply-adds
  split(op, depths(op.rows), op.columns * kDepth * kMoved, threads, amx::operand);
}

void step(const Step& op, int threads) {
  split(op, depths(op.outputs), op.inputs * kBlock * op.rows, threads, amx::step);
}
#else
void forward(const Forward&, int) {}
void backward(const Backward&, int) {}
void operand(const Operand&, int) {}
void step(const Step&, int) {}
#endif

}  // namespace bioner::dense
