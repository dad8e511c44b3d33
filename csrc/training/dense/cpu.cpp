// Which kernels of dense layers run, and threads around them.
#include <algorithm>

#include "base/runtime/simd.h"
#include "base/runtime/thread_pool.h"
#include "training/dense/kernels.h"

namespace bioner::dense {
namespace {

// Those of the active level; null where it has none.
const Kernels* kernels() {
  if (simd::active() != simd::Level::kAvx512) return nullptr;
  switch (simd::extension()) {
#if defined(BIONER_AMX)
    case simd::Extension::kAmx:
      return &amx::kernels;
#endif
#if defined(BIONER_X86_LEVELS)
    case simd::Extension::kBf16:
      return &bf16::kernels;
#endif
    default:
      return nullptr;
  }
}

// Multiply-adds below which a piece of work is not worth waking a thread for.
constexpr std::int64_t kGrain = std::int64_t{1} << 20;

template <typename Op>
void split(const Op& op, std::int64_t blocks, std::int64_t work, int threads,
           void (*body)(const Op&, std::int64_t, std::int64_t)) {
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, work));
  parallel_for(blocks, grain, threads, [&](std::int64_t begin, std::int64_t end) { body(op, begin, end); });
}

}  // namespace

bool available() { return kernels() != nullptr; }

bool in_tiles() { return available() && simd::extension() == simd::Extension::kAmx; }

void forward(const Forward& op, int threads) {
  split(op, depths(op.outputs), op.rows * op.inputs * kBlock, threads, kernels()->forward);
}

void backward(const Backward& op, int threads) {
  split(op, depths(op.inputs), op.rows * op.outputs * kBlock, threads, kernels()->backward);
}

void operand(const Operand& op, int threads) {
  constexpr std::int64_t kMoved = 64;  // a value moved is worth so many multiply-adds
  split(op, depths(op.rows), op.columns * kDepth * kMoved, threads, kernels()->operand);
}

void step(const Step& op, int threads) {
  split(op, depths(op.outputs), op.inputs * kBlock * op.rows, threads, kernels()->step);
}

}  // namespace bioner::dense
