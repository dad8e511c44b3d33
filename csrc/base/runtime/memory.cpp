#include "base/runtime/memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace bioner {

void expect_large_write([[maybe_unused]] void* data, [[maybe_unused]] std::int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;
  if (bytes < static_cast<std::int64_t>(2 * kHugePage)) return;
  // Only whole huge pages inside the output: its neighbours are not ours.
  const auto start = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (start + kHugePage - 1) & ~(kHugePage - 1);
  const std::uintptr_t last = (start + static_cast<std::uintptr_t>(bytes)) & ~(kHugePage - 1);
  if (last > first)
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // failing is no loss
#endif
}

}  // namespace bioner
