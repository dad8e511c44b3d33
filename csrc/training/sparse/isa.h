// The functions that each SIMD level provides, and AVX-512 with BF16; cpu.cpp chooses a table once per call.
#pragma once

#include "base/runtime/levels.h"
#include "training/sparse/sparse.h"

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
  void* panel;         // [K + 1, kMostColumns] values
};

constexpr std::int64_t kUnits = 32;         // of Kept, worked on together
constexpr std::int64_t kPartBytes = 40960;  // of their rows, which stay in the nearest caches
constexpr std::int64_t kMostValues = 32;    // of a vector

// Values of a row of K that is a number of vectors long.
constexpr std::int64_t padded(std::int64_t summed) {
  return (summed + kMostValues - 1) / kMostValues * kMostValues;
}

// The units of a block that a row keeps.
struct Choice {
  std::uint8_t count;
  std::uint8_t units[kUnits + 1];  // the next one is written before it is known whether it is one
};

struct KeptWorkspace {
  void* left;           // [M, padded(K)] values
  void* right;          // [kUnits, padded(K)] values
  void* totals;         // [M, kUnits] sums
  Choice* choices;      // [M]
  std::int32_t* order;  // [M] rows
};

struct Kernels {
  // Columns [begin, end).
  void (*multiply)(const Product& op, std::int64_t begin, std::int64_t end, const Workspace& workspace);
  // Units [begin, end).
  void (*kept)(const Kept& op, std::int64_t begin, std::int64_t end, const KeptWorkspace& workspace);
};

BIONER_DECLARE_KERNELS

namespace bf16 {
extern const Kernels kernels;
}

}  // namespace bioner::sparse
