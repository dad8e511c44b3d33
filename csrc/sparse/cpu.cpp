// Threads around the sparse product, and the memory between its two passes.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "runtime/thread_pool.h"
#include "sparse/isa.h"

namespace bioner::sparse {

BIONER_DEFINE_KERNELS_FOR

namespace {

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
  const Kernels& kernels = kernels_for(level);
  const std::int64_t blocks = (op.columns + kMostColumns - 1) / kMostColumns;
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, op.rows * op.summed * kMostColumns));
  parallel_for(blocks, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    thread_local Memory<double> entries;
    thread_local Memory<std::int64_t> ends;
    thread_local Memory<double> panel;
    const Workspace workspace = {
        entries.of((op.rows * op.summed + 1) * (kMostEntryBytes / std::int64_t{sizeof(double)})),
        ends.of(op.rows), on_line(panel.of(op.summed * kMostColumns + 8))};
    kernels.multiply(op, begin * kMostColumns, std::min(end * kMostColumns, op.columns), workspace);
  });
}

}  // namespace bioner::sparse
