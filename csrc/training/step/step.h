// What lies beside the matrix products in a training step of the published networks:
//
//   positions   y = relu(y + bias), then y[starts[n] + p] side by side     convolutions to windows
//   units       out = drop(relu(sums + bias))                              a hidden layer
//   rows, fold  word vectors and capitalisation side by side, their gradients from windows, their step by SGD
//   head        logits, softmax, loss, and all their gradients
//   adam, sgd   the update, from gradients as the products leave them
//
// and the gradients of the first two. Operands of products may be bfloat16 where everything else is float32;
// gradients are also written transposed, because the product that makes a weight's gradient reads them so. No
// function allocates, throws or checks; callers bring outputs.
#pragma once

#include <cstdint>

#include "base/core/scalar.h"
#include "base/runtime/simd.h"
#include "training/gated/gated.h"

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
  std::int64_t row_stride;     // of these, at least F and R; zeros follow the values as far as a block of 32
  std::int64_t column_stride;
  void* grad_bias;  // backward: [F]
};

struct Units {
  std::int64_t tokens;  // N
  std::int64_t width;   // H
  Scalar scalar;
  Scalar product;
  Scalar output;               // of `out` and `grad`: the scalar or the product's type
  gated::Drop drop;            // value (n, h) has number n * H + h
  const void* sums;            // forward: [N, H] of the product's type
  const void* bias;            // forward: [H]
  void* out;                   // [N, H]: forward written, backward read
  const void* grad;            // backward: [N, H]
  std::int64_t row_stride;     // of grad_rows, at least H; zeros follow the values as far as a block of 32
  std::int64_t column_stride;  // of grad_columns, at least N, likewise
  void* grad_rows;             // backward: [N, H] of the product's type, or null
  void* grad_columns;          // backward: [H, N], or null
  void* grad_bias;             // backward: [H]
};

// Rows of a table [V, D] beside rows of a second, small one [C, E]: what an MLP reads of a word.
struct Rows {
  std::int64_t count;  // M
  std::int64_t width;  // D
  std::int64_t also;   // E, 0 for no second table
  Scalar scalar;
  const std::int64_t* ids;       // [M]
  const std::int64_t* also_ids;  // [M]
  void* table;                   // [V, D]
  const void* also_table;        // [C, E]
  void* rows;                    // [M, D + E]: forward written, otherwise their gradient
  void* grad_also;               // [C, E], zeros before
  double rate;                   // of SGD
};

// out[r] = sum over n of windows[n, r - starts[n]], where that is in the window: gradients of rows from those
// of the windows that they are in.
struct Fold {
  std::int64_t tokens;  // N
  std::int64_t rows;    // R
  std::int64_t window;
  std::int64_t width;  // D
  Scalar scalar;
  const std::int64_t* starts;  // [N], ascending
  const void* windows;         // [N, window, D]
  void* out;                   // [R, D]
};

// loss = -factor * sum over n of clip(log softmax(hidden W^T + bias)[n, gold[n]]); what is clipped has no
// gradient.
struct Head {
  std::int64_t rows;   // N
  std::int64_t width;  // H
  std::int64_t tags;   // K
  Scalar scalar;
  double factor;
  double least;
  double most;
  const void* hidden;        // [N, H]
  const void* weights;       // [K, H]
  const void* bias;          // [K]
  const std::int64_t* gold;  // [N]
  double* losses;            // [N]
  void* grad_logits;         // [N, K]
  void* grad_hidden;         // [N, H]
  void* grad_weights;        // [K, H]
  void* grad_bias;           // [K]
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
void rows_forward(const Rows& op, simd::Level level, int threads);
// table[ids[m]] -= rate * gradient, one m after another.
void rows_sgd(const Rows& op, simd::Level level, int threads);
// The gradient of the second table.
void rows_also_backward(const Rows& op, simd::Level level);
void fold(const Fold& op, simd::Level level, int threads);
void head(const Head& op, simd::Level level, int threads);
void adam(const Adam& op, simd::Level level, int threads);
void sgd(const Sgd& op, simd::Level level, int threads);

}  // namespace bioner::step
