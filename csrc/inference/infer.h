// Inference of trained networks on the CPU: matrix products over gathered rows, sums of table rows, and what
// follows them (gates, normalisation, quantisation), fused so that intermediate rows stay in the cache.
//
// Every row of a result depends on its own inputs only, in one fixed order: results do not depend on which
// rows come together, on the number of threads, or (but for the products in float32 and bfloat16) on the SIMD
// level.
#pragma once

#include <cstdint>

namespace bioner::infer {

// Columns are padded to multiples of kLanes; weights lie in panels of kPanel columns (the last is narrower).
constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kPanel = 64;

// Types of values. kInt8: activations unsigned, weights signed. All come in groups of 4 bytes along the sum.
// kInt16 is what tables hold; products have no use for it.
enum class Type : int { kFloat32 = 0, kBFloat16 = 1, kInt8 = 2, kInt16 = 3 };

// What happens to a finished row of W columns before it leaves.
enum class Finish : int {
  kStore = 0,       // y = x
  kRelu = 1,        // y = max(x, 0)
  kNorm = 2,        // y = LayerNorm(x)
  kGlu = 3,         // x = [a, g], each half of the columns: y = LayerNorm(residual + a * sigmoid(g))
  kLogSoftmax = 4,  // out = log softmax of each range of columns
};

// y goes to `out` (float32), to `next` (as the next product takes it), or both.
struct Epilogue {
  Finish finish;
  std::int64_t width;     // padded columns of y
  std::int64_t channels;  // of which so many count; kNorm and kGlu only: the others are zero
  const float* residual;  // [*, residual_stride], kGlu
  std::int64_t residual_stride;
  const std::int32_t* residual_rows;  // [N] rows of it, null: row i
  const float* gamma;                 // [width], zero where padded
  const float* beta;                  // [width], zero where padded
  float epsilon;
  float* out;  // [N, out_stride], may be null
  std::int64_t out_stride;
  std::uint8_t* next;  // [N, next_stride] bytes, may be null
  std::int64_t next_stride;
  Type next_type;
  const float*
      next_scale;   // [width], kInt8: value = round(y * scale + zero), in 0..255; kInt16: round(y * scale)
  float next_zero;  // kInt8
  std::int64_t groups;            // kRelu: columns come in groups of width / groups, of which the first ...
  std::int64_t group_columns;     // ... so many go to `next`, one group after the other
  const std::int32_t* head_ends;  // [heads], kLogSoftmax: range h ends there and the next one begins
  std::int64_t heads;
};

// x[i] = bias + scale * (sum over segments s of values[index[i, s]][: lengths[s]] * weights - shift)
struct Linear {
  Type type;
  const std::uint8_t* values;  // [*, stride] bytes
  std::int64_t stride;
  const std::int32_t* index;    // [N, segments]
  const std::int64_t* lengths;  // [segments] bytes, multiples of 4
  std::int64_t segments;
  std::int64_t rows;            // N
  std::int64_t columns;         // padded
  const std::uint8_t* weights;  // panels of [groups of 4 bytes along the sum, columns of the panel, 4 bytes]
  const float* bias;            // [columns]
  const float* scale;           // [columns], kInt8
  const std::int32_t* shift;    // [columns], kInt8
};

// Sums of table rows: x[i] = bias + scale * sum over taps of table[index[i, tap]][part of the tap]
struct TableSum {
  bool narrow;        // int16 with a scale, else float32 without
  const void* table;  // [*, stride] elements
  std::int64_t stride;
  const std::int32_t* index;  // index[i * index_step + tap]
  std::int64_t index_step;
  std::int64_t rows;                // N
  std::int64_t groups;              // group g fills columns [g * width, (g + 1) * width)
  std::int64_t width;               // padded
  const std::int32_t* taps;         // [groups]: taps 0 .. taps[g] - 1 go into group g
  const std::int64_t* first_parts;  // [groups]: elements before the group's first part; parts lie in order
  const float* bias;                // [groups * width]
  const float* scale;               // [groups * width], narrow
};

// Character features: out[i, f] = max(bias[f] + max over the characters c of word i of
// (middle[c] + left[the one before]) + right[the one after], 0)
struct Characters {
  const std::uint8_t* characters;  // [N, slots], 0: none; below `kinds`
  std::int64_t rows;               // N
  std::int64_t slots;
  const float*
      tables;  // [kinds, 3, width]: what a character gives to its right neighbour, itself, its left one
  std::int64_t kinds;
  const float* bias;     // [width]
  std::int64_t width;    // padded
  std::int64_t filters;  // of which so many count
  float* out;            // [N, out_stride]
  std::int64_t out_stride;
};

void linear_cpu(const Linear& op, const Epilogue& epilogue, int threads);
void table_sum_cpu(const TableSum& op, const Epilogue& epilogue, int threads);
void characters_cpu(const Characters& op, int threads);

// Whether the active SIMD level multiplies in this type with instructions made for it.
bool is_native(Type type);

}  // namespace bioner::infer
