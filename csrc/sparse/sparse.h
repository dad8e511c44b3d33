// The product of a matrix that is mostly zeros, such as the gradient behind dropout and relu, with a dense
// one.
#pragma once

#include <cstdint>

#include "core/scalar.h"
#include "runtime/simd.h"

namespace bioner::sparse {

// out = left right. Sums are float32 for bfloat16, in the order of the summed index; zeros of `left` are left
// out, whatever stands in `right` there. What an entry of the sum is made of depends on neither the threads
// nor the other rows.
struct Product {
  std::int64_t rows;     // M
  std::int64_t summed;   // K
  std::int64_t columns;  // N
  Scalar scalar;
  const void* left;   // [M, K]
  const void* right;  // [K, N]
  void* out;          // [M, N]
};

// `threads` as in parallel_for.
void multiply(const Product& op, simd::Level level, int threads);

}  // namespace bioner::sparse
