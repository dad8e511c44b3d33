// The gated block of the sentence encoder, in the two pieces that lie beside its matrix products:
//
//   taps   x[t] = drop(h[t - d]) | drop(h[t]) | drop(h[t + d])      zeros outside the sentence
//   gate   out[t] = LayerNorm(h[t] + a * sigmoid(b)),  a | b = y[t] + bias      with y = x W, a GEMM
//
// and their gradients. The GEMM's operands x and y may be bfloat16 where everything else is float32. No
// function allocates, throws or checks; callers bring outputs and workspaces.
#pragma once

#include <cstdint>

#include "base/core/macros.h"
#include "base/core/scalar.h"
#include "base/runtime/simd.h"

namespace bioner::gated {

// Which values dropout keeps: those whose 32 random bits lie below `threshold`. The bits are a hash of the
// seed and of the value's number, so that nothing is stored for the backward pass and nothing depends on
// threads or SIMD.
struct Drop {
  std::uint32_t low;  // the seed
  std::uint32_t high;
  std::uint32_t threshold;  // 0: everything is kept
  double scale;             // of what is kept
};

// The 32 bits of value number `i`: lowbias32 (C. Wellons, "Prospecting for hash functions", 2018), seeded.
BIONER_INLINE std::uint32_t drop_bits(const Drop& drop, std::uint32_t i) {
  std::uint32_t x = i * 0x9E3779B1U + drop.low;
  x ^= x >> 16;
  x *= 0x7FEB352DU;
  x += drop.high;
  x ^= x >> 15;
  x *= 0x846CA68BU;
  x ^= x >> 16;
  return x;
}

// Tokens of [0, tokens) have numbers from `shift` on in `first` and `last`.
struct Taps {
  std::int64_t tokens;
  std::int64_t width;  // C
  int taps;            // 3, or 1: the token alone
  int dilation;        // d
  Scalar scalar;       // of `values`
  Scalar product;      // of `rows`: the same, or bfloat16 beside float32
  Drop drop;
  const std::int64_t* first;  // [tokens] the first and the last token of each token's sentence; taps 3 only
  const std::int64_t* last;
  std::int64_t shift;
  const void* values;    // forward: [tokens, C]
  const void* residual;  // backward: [tokens, C], added to the gradient; or null
  void* rows;            // forward, written: [tokens, taps * C]; backward, read: the gradient
  void* out;             // backward, written: [tokens, C]
};

struct Gate {
  std::int64_t tokens;
  std::int64_t width;  // C
  Scalar scalar;
  Scalar product;
  double epsilon;
  const void* rows;    // y [tokens, 2 C], of the product's type
  const void* bias;    // [2 C]
  const void* hidden;  // h [tokens, C]
  const void* weight;  // [C] of the LayerNorm
  const void* shift;   // [C]
  void* stats;         // [tokens, 2]: mean and 1 / standard deviation; forward writes, backward reads
  void* out;           // forward: [tokens, C]
  const void* grad;    // backward: of `out` [tokens, C]
  void* grad_rows;     // [tokens, 2 C], of the product's type
  void* grad_hidden;   // [tokens, C]: by way of the sum only
  void* workspace;     // [block_count, 4 C]
  void* grad_weight;   // [C]
  void* grad_shift;    // [C]
  void* grad_bias;     // [2 C]
};

// Sums over tokens are taken in blocks, then over blocks in order, so threads do not change them.
constexpr std::int64_t kTokensPerBlock = 64;

constexpr std::int64_t block_count(std::int64_t tokens) {
  return (tokens + kTokensPerBlock - 1) / kTokensPerBlock;
}

// `threads` as in parallel_for.
void taps_forward(const Taps& op, simd::Level level, int threads);
void taps_backward(const Taps& op, simd::Level level, int threads);
void gate_forward(const Gate& op, simd::Level level, int threads);
void gate_backward(const Gate& op, simd::Level level, int threads);

}  // namespace bioner::gated
