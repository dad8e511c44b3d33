// A whole step of an MLP by SGD: one hidden layer in bfloat16 tiles, fine-tuned word vectors beside those of
// capitalisation. Its kernels are those of dense/ and step/; as one call, because fifty tokens are so little
// work that separate calls cost a third of the step.
#pragma once

#include <cstdint>
#include <vector>

#include "base/core/scalar.h"
#include "base/runtime/simd.h"
#include "training/gated/gated.h"

namespace bioner::mlp {

// What windows of a text read: rows, each of a place of the text.
struct Places {
  std::vector<std::int64_t> starts;  // [N], row where each window begins: from 0, ascending
  std::vector<std::int64_t> places;  // [R]
};

// Where the windows of two tokens, one after the other, overlap, they share rows.
//   starts   [N], place where each token's window begins, in any order
Places places(const std::int64_t* starts, std::int64_t tokens, std::int64_t window);

// Token n reads rows starts[n] to starts[n] + window - 1 side by side. A row is looked up once, and stepped
// once; a word that occurs at several places has a row for each.
struct Step {
  std::int64_t tokens;  // N
  std::int64_t rows;    // R
  std::int64_t window;
  std::int64_t words;            // width of a word vector
  std::int64_t caps;             // width of capitalisation, 0 for none
  std::int64_t hidden;           // H
  std::int64_t tags;             // K
  const std::int64_t* starts;    // [N], of Places
  const std::int64_t* word_ids;  // [R]
  const std::int64_t* cap_ids;   // [R]
  const std::int64_t* gold;      // [N]
  float* word_table;             // [V, words]
  float* cap_table;              // [C, caps]
  std::int64_t cap_classes;      // C
  float* weights;                // [H, window * (words + caps)]
  BFloat16* low;                 // the same in blocks (dense.h)
  float* bias;                   // [H]
  float* head_weights;           // [K, H]
  float* head_bias;              // [K]
  gated::Drop drop;              // of hidden values, as in step::Units
  double factor;                 // these three as in step::Head
  double least;
  double most;
  double rate;
  double word_rate;
};

// Returns the loss; all but the inputs are changed. Only where dense::available(). Allocates only what stays
// with the thread. `threads` as in parallel_for; results do not depend on it.
double step(const Step& op, simd::Level level, int threads);

}  // namespace bioner::mlp
