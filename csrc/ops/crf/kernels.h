// What cpu.cpp hands to the files that are compiled for one instruction set. POD only.
#pragma once

#include <cstdint>

#include "base/runtime/levels.h"

namespace bioner::crf {

// Below this, a finite weight may have lost what rounding or clamping took from it (isa-inl.h).
constexpr double kSmall = 1e-100;
// Thresholds of the check that scaled probabilities lost nothing; see Outcome.
constexpr double kLeastScale = 1e-60;
constexpr double kMostBeta = 1e200;
// exp of a finite number never falls below exp(kLeastExponent), about 1e-300.
constexpr double kLeastExponent = -690.0;

// The parameters of the chain, less their maxima, and their exponentials; shared by all threads. Padding:
// weight 0.
struct Chain {
  const double* weights;          // [tags, stride]: exp(log_transitions), row = from
  const double* transposed;       // [tags, stride]: row = to
  const double* start;            // [stride]: exp(log_start)
  const double* end;              // [stride]
  const double* log_transitions;  // [tags, tags]
  const double* log_start;        // [tags]
  const double* log_end;          // [tags]
  int tags;
  int stride;     // tags, padded to a multiple of 8
  bool delicate;  // some weight is positive, but below kSmall
};

// Room for one sentence.
struct Scratch {
  double* weights;  // [length, stride]: exp(emission - shift); backward() may overwrite it
  double* alpha;    // [length, stride]: p(tag | tokens so far), sums to 1
  double* beta;     // [length, stride] or null: alpha * beta sums to 1
  double* scale;    // [length]: 1 / (what alpha summed to before scaling)
  double* shift;    // [length]: greatest emission of the token
};

// An underflow loses at most 1e-300 / kLeastScale of alpha's mass at a token, and the posterior loses that
// times beta: nothing visible if no scale is below kLeastScale and no beta above kMostBeta. Without beta at
// hand, the result is good if no weight was small enough to underflow at all.
enum class Outcome {
  kGood,
  kDoubtful,  // forward() only: run backward() to know
  kFailed,    // do the sentence in the log domain
};

template <typename T>
struct Kernels {
  // out [rows, stride] = exp of in [rows, tags]; 0 in the padding.
  void (*exponentials)(const double* in, int rows, int tags, int stride, double* out);
  // Fills weights, alpha, scale and shift. *log_z is relative to all shifts.
  Outcome (*forward)(const Chain& chain, const T* emissions, std::int64_t length, const Scratch& scratch,
                     double* log_z);
  // After forward(): out [length, tags] = factor * (p(tag of token) - [tag is gold]); `gold` [length] may be
  // null: no tag is gold. With `keep_pairs`, row t of scratch.weights becomes the vector v with factor * p(i
  // at t - 1, j at t) = alpha[t - 1, i] * weights[i, j] * v[j].
  Outcome (*backward)(const Chain& chain, std::int64_t length, const Scratch& scratch, double factor,
                      bool keep_pairs, const std::int64_t* gold, T* out);
  // After backward() with keep_pairs: sums [tags, stride] += sum over t of alpha[t - 1, i] * v[t, j].
  void (*add_pairs)(const Chain& chain, std::int64_t length, const Scratch& scratch, double* sums);
};

BIONER_DECLARE_TYPED_LEVEL(scalar, -)
BIONER_LEVELS(BIONER_DECLARE_TYPED_LEVEL)

}  // namespace bioner::crf
