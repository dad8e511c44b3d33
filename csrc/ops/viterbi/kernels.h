// What cpu.cpp hands to the files that are compiled for one instruction set. POD only.
#pragma once

#include <cstdint>

#include "base/runtime/levels.h"
#include "ops/viterbi/fixed.h"

namespace bioner::viterbi {

// Tag sets up to this size run one sentence per vector lane, larger ones one to-tag per lane.
constexpr int kLaneTags = 9;
// Sentences that the to-tag layout decodes side by side: they share each load of the transitions.
constexpr int kSideBySide = 4;
constexpr int kMostLanes = 8;       // of float64
constexpr int kMostSentences = 16;  // of a group
// Emissions and tags are taken by several tokens, beyond the last one.
constexpr std::int64_t kFixedSlack = 7;

// Parameters as float64, shared by all threads. Rows are padded to `stride` with -inf.
struct Tables {
  const double* transitions;  // [tags, stride], row = from
  const double* transposed;   // [tags, stride], row = to
  const double* start;        // [stride]
  const double* end;          // [stride]
  const double* zeros;        // [stride]: 0, then -inf
  const double* lanes;  // [tags, tags, lanes]: transitions, each repeated for every lane (small tag sets)
  int tags;
  int stride;
  bool forward_argmax;
};

// Sentences decoded together, longest first, none empty. Unused entries repeat the first sentence.
template <typename T>
struct Group {
  const T* emissions[kMostSentences];
  const T* emissions_end;                   // of all sentences of the call
  const T* next_emissions[kMostSentences];  // of the group that comes next, if any: worth fetching
  std::int64_t lengths[kMostSentences];
  std::int64_t* out_tags[kMostSentences];
  T* out_scores[kMostSentences];
  int count;
};

// The entry points of one instruction set. `scratch` holds lengths[0] * lanes words for `by_lane`, and
// kSideBySide * lengths[0] * stride doubles for `by_tag`.
//
// `fixed` does a group by the rule of fixed.h; null for float64, and where a level has no such code. It
// returns a bit for each sentence that float64 has to do. `scratch` holds, for lengths[0] + kFixedSlack
// tokens, (2 * tags + 1) * fixed_lanes int32 where a lane is a sentence, else kSideBySide *
// (fixed_tables.stride + 1).
template <typename T>
struct Kernels {
  int lanes;
  void (*by_lane)(const Tables& tables, const Group<T>& group, void* scratch);
  void (*by_tag)(const Tables& tables, const Group<T>& group, void* scratch);
  int fixed_lanes;
  unsigned (*fixed)(const FixedTables& fixed_tables, const Tables& tables, const Group<T>& group,
                    void* scratch);
};

BIONER_LEVELS(BIONER_DECLARE_TYPED_LEVEL)

}  // namespace bioner::viterbi
