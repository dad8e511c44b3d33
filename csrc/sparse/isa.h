// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "runtime/levels.h"
#include "sparse/sparse.h"

namespace bioner::sparse {

// A value of `left` that is not zero.
template <typename T>
struct Entry {
  std::int32_t summed;
  T value;
};

constexpr std::int64_t kMostEntryBytes = sizeof(Entry<double>);
constexpr std::int64_t kMostColumns = 128;  // of a block of `right`

struct Workspace {
  void* entries;       // room for M * K + 1: the next one is written before it is known whether it is one
  std::int64_t* ends;  // [M]
  void* panel;         // [K, kMostColumns] values
};

struct Kernels {
  // Columns [begin, end).
  void (*multiply)(const Product& op, std::int64_t begin, std::int64_t end, const Workspace& workspace);
};

BIONER_DECLARE_KERNELS

}  // namespace bioner::sparse
