// Threads around the gated-block kernels.
#include <algorithm>

#include "base/runtime/thread_pool.h"
#include "training/gated/isa.h"

namespace bioner::gated {

BIONER_DEFINE_KERNELS_FOR

namespace {

// Values below which a piece of work is not worth waking a thread for.
constexpr std::int64_t kGrainValues = std::int64_t{16} << 10;

std::int64_t grain(std::int64_t width) {
  return std::max<std::int64_t>(1, kGrainValues / std::max<std::int64_t>(1, width));
}

template <typename T>
void add_blocks(const Gate& op) {
  const auto* blocks = static_cast<const T*>(op.workspace);
  const std::int64_t width = op.width;
  const auto sum = [&](std::int64_t column, std::int64_t columns, void* to) {
    T* const out = static_cast<T*>(to);
    std::fill(out, out + columns, T(0));
    for (std::int64_t block = 0; block < block_count(op.tokens); ++block) {
      const T* const row = blocks + block * 4 * width + column;
      for (std::int64_t c = 0; c < columns; ++c) out[c] += row[c];
    }
  };
  sum(0, width, op.grad_weight);
  sum(width, width, op.grad_shift);
  sum(2 * width, 2 * width, op.grad_bias);
}

}  // namespace

void taps_forward(const Taps& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.tokens, grain(op.taps * op.width), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.taps_forward(op, begin, end); });
}

void taps_backward(const Taps& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.tokens, grain(op.taps * op.width), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.taps_backward(op, begin, end); });
}

void gate_forward(const Gate& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(op.tokens, grain(op.width), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.gate_forward(op, begin, end); });
}

void gate_backward(const Gate& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(block_count(op.tokens), 1, threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.gate_backward(op, begin, end); });
  op.scalar == Scalar::kFloat64 ? add_blocks<double>(op) : add_blocks<float>(op);
}

}  // namespace bioner::gated
