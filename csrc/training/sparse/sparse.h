// Products behind strong dropout: of a gradient that is mostly zeros, and for outputs of which most are
// dropped.
#pragma once

#include <cstdint>

#include "base/core/scalar.h"
#include "base/runtime/simd.h"
#include "training/gated/gated.h"

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

// out = drop(relu(left right^T + bias)), a hidden layer: what is dropped is not multiplied. Sums are float32
// for bfloat16, and rounded to it before the bias is added, as those of a dense product are. What an entry of
// `out` is made of depends on neither the threads nor the other entries.
struct Kept {
  std::int64_t rows;    // M
  std::int64_t summed;  // K
  std::int64_t units;   // N
  Scalar scalar;        // of left and right
  gated::Drop drop;
  const void* left;   // [M, K]
  const void* right;  // [N, K]
  const void* bias;   // [N], float32 for bfloat16
  void* out;          // [M, N], as bias
};

// `threads` as in parallel_for.
void multiply(const Product& op, simd::Level level, int threads);
void kept(const Kept& op, simd::Level level, int threads);

}  // namespace bioner::sparse
