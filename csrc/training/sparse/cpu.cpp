// Which kernels of sparse products run, threads around them, and the memory between their passes.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/runtime/thread_pool.h"
#include "training/sparse/isa.h"

namespace bioner::sparse {

BIONER_DEFINE_KERNELS_FOR

namespace {

const Kernels& kernels_of(simd::Level level) {
#if defined(BIONER_X86_LEVELS)
  if (level == simd::Level::kAvx512 && simd::extension() >= simd::Extension::kBf16) return bf16::kernels;
#endif
  return kernels_for(level);
}

// Multiply-adds of a dense product below which a piece of work is not worth waking a thread for.
constexpr std::int64_t kGrain = std::int64_t{1} << 20;

// Memory that stays with its thread; not initialised.
template <typename T>
class Memory {
 public:
  T* of(std::int64_t count) {
    if (count > count_) {
      values_.reset(new T[static_cast<std::size_t>(count)]);
      count_ = count;
    }
    return values_.get();
  }

 private:
  std::unique_ptr<T[]> values_;
  std::int64_t count_ = 0;
};

// A vector that lies on two cache lines is read as two.
void* on_line(double* memory) {
  constexpr std::uintptr_t kLine = 64;
  return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(memory) + kLine - 1) / kLine * kLine);
}

}  // namespace

void multiply(const Product& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_of(level);
  const std::int64_t blocks = (op.columns + kMostColumns - 1) / kMostColumns;
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, op.rows * op.summed * kMostColumns));
  parallel_for(blocks, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    thread_local Memory<double> entries;
    thread_local Memory<std::int64_t> ends;
    thread_local Memory<double> panel;
    const Workspace workspace = {
        entries.of((op.rows * op.summed + 1) * (kMostEntryBytes / std::int64_t{sizeof(double)})),
        ends.of(op.rows), on_line(panel.of((op.summed + 1) * kMostColumns + 8))};
    kernels.multiply(op, begin * kMostColumns, std::min(end * kMostColumns, op.columns), workspace);
  });
}

void kept(const Kept& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_of(level);
  const std::int64_t blocks = (op.units + kUnits - 1) / kUnits;
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, op.rows * op.summed * kUnits));
  parallel_for(blocks, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    thread_local Memory<double> left;
    thread_local Memory<double> right;
    thread_local Memory<double> totals;
    thread_local Memory<Choice> choices;
    thread_local Memory<std::int32_t> order;
    const std::int64_t row = padded(op.summed);
    const KeptWorkspace workspace = {on_line(left.of(op.rows * row + 8)), on_line(right.of(kUnits * row + 8)),
                                     on_line(totals.of(op.rows * kUnits + 8)), choices.of(op.rows),
                                     order.of(op.rows)};
    kernels.kept(op, begin * kUnits, std::min(end * kUnits, op.units), workspace);
  });
}

}  // namespace bioner::sparse
