// Arrays of uninitialised memory; large ones ask for huge pages, since faulting small ones in costs more than
// the work on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace bioner {

template <typename T>
std::unique_ptr<T[]> large_array(std::size_t n) {
  std::unique_ptr<T[]> array(new T[n]);
#if defined(__linux__)
  constexpr std::size_t kSmallest = std::size_t{4} << 20;
  constexpr std::uintptr_t kPage = 4096;
  const std::size_t bytes = n * sizeof(T);
  if (bytes >= kSmallest) {
    const auto begin = (reinterpret_cast<std::uintptr_t>(array.get()) + kPage - 1) & ~(kPage - 1);
    const auto end = (reinterpret_cast<std::uintptr_t>(array.get()) + bytes) & ~(kPage - 1);
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: failing is harmless
  }
#endif
  return array;
}

}  // namespace bioner
