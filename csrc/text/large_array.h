// Arrays of uninitialised memory. Large ones come from memory that is kept when they are freed
// (base/runtime/buffers.h), in huge pages: faulting pages in costs more than the work on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/runtime/buffers.h"

namespace bioner {

constexpr std::size_t kLargeBytes = std::size_t{1} << 20;

template <typename T>
struct Free {
  std::size_t bytes = 0;
  void operator()(T* data) const {
    if (bytes < kLargeBytes || !give_buffer(data)) std::free(data);
  }
};

template <typename T>
using LargeArray = std::unique_ptr<T[], Free<T>>;

template <typename T>
LargeArray<T> large_array(std::size_t n) {
  const std::size_t bytes = n * sizeof(T) + 1;  // never none: that may give a null pointer
  void* data = bytes < kLargeBytes ? nullptr : take_buffer(static_cast<std::int64_t>(bytes));
  if (data == nullptr) data = std::malloc(bytes);
  if (data == nullptr) throw std::bad_alloc();
  return LargeArray<T>(static_cast<T*>(data), Free<T>{bytes});
}

}  // namespace bioner
