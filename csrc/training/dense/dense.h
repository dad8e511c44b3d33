// A dense layer's training in bfloat16, on processors with AMX tiles or AVX512-BF16: y = x W^T, its gradient
// for x, and its gradient for W together with the step that uses it, which is why that gradient is never
// stored.
//
// Matrices of bfloat16 lie as the tiles read them:
//
//   padded  [whole blocks, S] rows, S at least depths(columns) * 32; zero beyond the columns
//   blocks  [depths(rows)][depths(columns)] blocks of 32 rows by 32 columns; zero beyond both
//   panels  [tiles(columns)][depths(summed)] tiles of 16 pairs by 16 columns by 2: a column's values 2p and
//           2p + 1 side by side; zero beyond what is summed
//
// No function allocates beyond scratch of its thread, throws or checks. Each result is summed by one thread,
// in an order that depends on the shapes alone.
#pragma once

#include <cstdint>

#include "base/core/scalar.h"

namespace bioner::dense {

constexpr std::int64_t kTile = 16;          // rows and columns of a tile of sums
constexpr std::int64_t kDepth = 32;         // values that a tile sums over
constexpr std::int64_t kTileValues = 512;   // of a tile of a panel
constexpr std::int64_t kBlock = 2 * kTile;  // rows of padded matrices come in blocks
constexpr std::int64_t kBlockValues = kBlock * kDepth;

constexpr std::int64_t tiles(std::int64_t n) { return (n + kTile - 1) / kTile; }
constexpr std::int64_t depths(std::int64_t n) { return (n + kDepth - 1) / kDepth; }
constexpr std::int64_t panel_values(std::int64_t summed, std::int64_t columns) {
  return tiles(columns) * depths(summed) * kTileValues;
}
constexpr std::int64_t blocks_values(std::int64_t rows, std::int64_t columns) {
  return depths(rows) * depths(columns) * kBlockValues;
}

// Whether the functions below can run here, at the active level.
bool available();

// Whether they do so in AMX tiles.
bool in_tiles();

// y[n, o] = sum over i of x[n, i] * W[o, i]
struct Forward {
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
  const BFloat16* x;        // panels of N columns that sum over I
  const BFloat16* weights;  // blocks of W
  Scalar output;            // kFloat32 or kBFloat16
  void* out;                // [N, O]
};

// dx[n, i] = sum over o of dy[n, o] * W[o, i]
struct Backward {
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
  std::int64_t grad_stride;
  const BFloat16* grad;     // padded [N, O]
  const BFloat16* weights;  // as above
  Scalar output;
  void* out;  // [N, I]
};

// Rows to panels. Row n begins at values + n * stride, or at values + starts[n] * stride, and may overlap
// others.
struct Operand {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t stride;
  const std::int64_t* starts;  // [N] or null
  Scalar input;                // kFloat32 or kBFloat16
  const void* values;
  BFloat16* over_columns;  // panels of N columns that sum over the columns of `values`
  BFloat16* over_rows;     // panels that sum over N
};

// The step from G[o, i] = sum over n of dy[n, o] * x[n, i]:
//   SGD   W = W - size G
//   Adam  M = beta1 M + (1 - beta1) G;  V = beta2 V + (1 - beta2) G G
//         W = decay W - size M / (sqrt(V) + epsilon)
struct Step {
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
  std::int64_t grad_stride;
  const BFloat16* grad;  // padded [O, N]
  const BFloat16* x;     // panels of I columns that sum over N
  float* weights;        // [O, I]
  float* first;          // M and V; null for SGD
  float* second;
  BFloat16* low;  // blocks of the new W, rounded
  float size;
  float beta1;
  float beta2;
  float rest1;  // 1 - beta1
  float rest2;
  float epsilon;
  float decay;
};

// `threads` as in parallel_for.
void forward(const Forward& op, int threads);
void backward(const Backward& op, int threads);
void operand(const Operand& op, int threads);
void step(const Step& op, int threads);

}  // namespace bioner::dense
