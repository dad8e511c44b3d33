// The recurrence of viterbi.h, written once for the scalar CPU path and for CUDA. Arithmetic and comparison
// only.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/core/macros.h"

namespace bioner::viterbi {

// The running maximum of a search over tags in ascending order. Starts at tag 0 with -inf, so that the index
// is valid even if every candidate is -inf or NaN; the strict comparison keeps the lowest tag of a tie.
struct Best {
  double score;
  int tag;

  BIONER_HD static Best none() { return {-HUGE_VAL, 0}; }

  BIONER_HD void consider(double candidate, int candidate_tag) {
    if (candidate > score) {
      score = candidate;
      tag = candidate_tag;
    }
  }
};

// Decodes one sentence of `length` >= 1 tokens. `alpha` has room for 2 * tags doubles and `back` for
// length * tags bytes. `transitions` is [tags, stride], already float64.
template <typename T>
inline void decode_sentence(const T* emissions, const double* transitions, int stride, const double* start,
                            const double* end, int tags, std::int64_t length, bool forward_argmax,
                            double* alpha, std::uint8_t* back, std::int64_t* out_tags, T* out_score) {
  double* previous = alpha;
  double* current = alpha + tags;
  for (std::int64_t t = 0; t < length; ++t) {
    const T* emission = emissions + t * tags;
    Best top = Best::none();
    for (int j = 0; j < tags; ++j) {
      if (t == 0) {
        current[j] = static_cast<double>(emission[j]) + start[j];
      } else {
        Best best = Best::none();
        for (int i = 0; i < tags; ++i) best.consider(previous[i] + transitions[i * stride + j], i);
        current[j] = static_cast<double>(emission[j]) + best.score;
        back[t * tags + j] = static_cast<std::uint8_t>(best.tag);
      }
      top.consider(t + 1 < length ? current[j] : current[j] + end[j], j);
    }
    if (forward_argmax || t + 1 == length) out_tags[t] = top.tag;
    if (t + 1 == length) *out_score = static_cast<T>(top.score);
    double* const swap = previous;
    previous = current;
    current = swap;
  }
  if (forward_argmax) return;
  std::int64_t tag = out_tags[length - 1];
  for (std::int64_t t = length - 1; t > 0; --t) {
    tag = back[t * tags + tag];
    out_tags[t - 1] = tag;
  }
}

}  // namespace bioner::viterbi
