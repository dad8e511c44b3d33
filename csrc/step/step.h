// What lies beside the matrix products in a training step of the published networks:
//
//   positions   y = relu(y + bias), then y[starts[n] + p] side by side     convolutions to windows
//   units       out = drop(relu(sums + bias))                              a hidden layer
//   adam, sgd   the update, from gradients as the products leave them
//
// and the gradients of the first two. Operands of products may be bfloat16 where everything else is float32;
// gradients are also written transposed, because the product that makes a weight's gradient reads them so. No
// function allocates, throws or checks; callers bring outputs.
#pragma once

#include <cstdint>

#include "core/scalar.h"
#include "gated/gated.h"
#include "runtime/simd.h"

namespace bioner::step {

// Convolution outputs of one width. Token n's window holds positions starts[n] to starts[n] + slots - 1;
// starts ascend. In `features` they are columns [column, column + slots * filters) of rows of `stride`
// values.
struct Positions {
  std::int64_t rows;     // R
  std::int64_t filters;  // F
  std::int64_t tokens;   // N
  std::int64_t slots;    // P
  std::int64_t stride;
  std::int64_t column;
  Scalar scalar;
  Scalar product;
  const std::int64_t* starts;  // [N]
  const void* bias;            // forward: [F]
  void* values;                // [R, F] of the product's type: forward products to activations, backward read
  void* features;              // [N, stride], likewise: forward written, backward the gradient
  void* grad_rows;             // backward: [R, F] of the product's type, or null
  void* grad_columns;          // backward: [F, R], or null
  void* grad_bias;             // backward: [F]
};

struct Units {
  std::int64_t tokens;  // N
  std::int64_t width;   // H
  Scalar scalar;
  Scalar product;
  Scalar output;       // of `out` and `grad`: the scalar or the product's type
  gated::Drop drop;    // value (n, h) has number n * H + h
  const void* sums;    // forward: [N, H] of the product's type
  const void* bias;    // forward: [H]
  void* out;           // [N, H]: forward written, backward read
  const void* grad;    // backward: [N, H]
  void* grad_rows;     // backward: [N, H] of the product's type, or null
  void* grad_columns;  // backward: [H, N], or null
  void* grad_bias;     // backward: [H]
};

// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g g;  w = decay w - size m / (sqrt(v) + epsilon)
struct Adam {
  std::int64_t count;
  Scalar scalar;
  Scalar gradient;  // the scalar, or bfloat16 beside float32
  double beta1;
  double beta2;
  double size;
  double epsilon;
  double decay;
  const void* grad;
  void* values;
  void* first;
  void* second;
  void* low;  // the values once more, of the gradient's type; or null
};

// w = w - rate g
struct Sgd {
  std::int64_t count;
  Scalar scalar;
  Scalar gradient;  // as for Adam
  double rate;
  const void* grad;
  void* values;
  void* low;  // as for Adam
};

// `threads` as in parallel_for. Results do not depend on it.
void positions_forward(const Positions& op, simd::Level level, int threads);
void positions_backward(const Positions& op, simd::Level level, int threads);
void units_forward(const Units& op, simd::Level level, int threads);
void units_backward(const Units& op, simd::Level level, int threads);
void adam(const Adam& op, simd::Level level, int threads);
void sgd(const Sgd& op, simd::Level level, int threads);

}  // namespace bioner::step
