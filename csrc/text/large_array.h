// Arrays of uninitialised memory. Large ones ask for huge pages and begin on one: faulting small pages in
// costs more than the work on them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace bioner {

struct Free {
  void operator()(void* data) const { std::free(data); }
};

template <typename T>
using LargeArray = std::unique_ptr<T[], Free>;

template <typename T>
LargeArray<T> large_array(std::size_t n) {
  const std::size_t bytes = n * sizeof(T) + 1;  // never none: that may give a null pointer
  void* data = nullptr;
#if defined(__linux__)
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  if (bytes >= kHugePage) {
    if (posix_memalign(&data, kHugePage, bytes) != 0) throw std::bad_alloc();
    madvise(data, bytes, MADV_HUGEPAGE);  // advice: failing is harmless
    return LargeArray<T>(static_cast<T*>(data));
  }
#endif
  data = std::malloc(bytes);
  if (data == nullptr) throw std::bad_alloc();
  return LargeArray<T>(static_cast<T*>(data));
}

}  // namespace bioner
