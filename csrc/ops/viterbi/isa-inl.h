// Viterbi for one instruction set; see base/core/simd-inl.h. Two layouts:
//
//   by_lane: a lane is a sentence, for tag sets of up to kLaneTags. All back-pointers of a step fit a 64-bit
//            word per lane (four bits a tag), so the search keeps its argmax and the walk back is a shift a
//            token.
//   by_tag:  a lane is a to-tag. The search keeps only alpha; the walk back repeats the one column it needs:
//            K additions a token instead of K * K comparisons of indices.
//
// Both repeat the arithmetic of core.h to the bit.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/core/simd-inl.h"
#include "ops/viterbi/kernels.h"

namespace bioner::BIONER_LEVEL {
namespace viterbi_isa {

using bioner::viterbi::Group;
using bioner::viterbi::kSideBySide;
using bioner::viterbi::Tables;

constexpr double kNone = -HUGE_VAL;
constexpr int kBackBits = 4;

// Argmax over the tags of each lane; lowest tag first.
template <int K>
BIONER_INLINE I lane_argmax(const V* alpha, V* best) {
  *best = max(alpha[0], V::set1(kNone));
  I tag = I::set1(0);
  for (int j = 1; j < K; ++j) {
    tag = select(greater(alpha[j], *best), I::set1(j), tag);
    *best = max(alpha[j], *best);
  }
  return tag;
}

template <int K, int J, typename T>
BIONER_INLINE void lane_column(const V* alpha, const double* lanes, const T* const* token, V* next, I* word) {
  V best = max(alpha[0] + V::load(lanes + J * V::kLanes), V::set1(kNone));
  I tag = I::set1(0);
  for (int i = 1; i < K; ++i) {
    const V candidate = alpha[i] + V::load(lanes + (i * K + J) * V::kLanes);
    tag = select(greater(candidate, best), I::set1(i), tag);
    best = max(candidate, best);
  }
  next[J] = V::collect(token, J) + best;
  *word = *word | shift_left<kBackBits * J>(tag);
  if constexpr (J + 1 < K) lane_column<K, J + 1>(alpha, lanes, token, next, word);
}

template <int K, typename T>
void by_lane_k(const Tables& tables, const Group<T>& group, std::uint64_t* words) {
  constexpr int kLanes = V::kLanes;
  const T* token[kLanes];
  std::uint64_t tags[kLanes];
  double scores[kLanes];
  std::int64_t last[kLanes];
  for (int l = 0; l < kLanes; ++l) token[l] = group.emissions[l];
  V alpha[K];
  for (int j = 0; j < K; ++j) alpha[j] = V::collect(token, j) + V::set1(tables.start[j]);

  const std::int64_t longest = group.lengths[0];
  int running = group.count;  // the longest come first, so those that have ended are a suffix
  for (std::int64_t t = 0;;) {
    if (tables.forward_argmax) {
      V best;
      lane_argmax<K>(alpha, &best).store(tags);
      for (int l = 0; l < running; ++l) group.out_tags[l][t] = static_cast<std::int64_t>(tags[l]);
    }
    if (t + 1 == group.lengths[running - 1]) {
      V closing[K];
      for (int j = 0; j < K; ++j) closing[j] = alpha[j] + V::set1(tables.end[j]);
      V best;
      lane_argmax<K>(closing, &best).store(tags);
      best.store(scores);
      for (; running > 0 && t + 1 == group.lengths[running - 1]; --running) {
        last[running - 1] = static_cast<std::int64_t>(tags[running - 1]);
        *group.out_scores[running - 1] = static_cast<T>(scores[running - 1]);
      }
    }
    if (++t == longest) break;
    // Lanes that have ended stay on their last token; nobody reads what they compute.
    for (int l = 0; l < kLanes; ++l) token[l] += t < group.lengths[l] ? K : 0;
    V next[K];
    I word = I::set1(0);
    lane_column<K, 0>(alpha, tables.lanes, token, next, &word);
    word.store(words + t * kLanes);
    for (int j = 0; j < K; ++j) alpha[j] = next[j];
  }

  for (int l = 0; l < group.count; ++l) {
    std::int64_t* const out = group.out_tags[l];
    std::int64_t t = group.lengths[l] - 1;
    std::uint64_t tag = static_cast<std::uint64_t>(last[l]);
    out[t] = last[l];
    if (tables.forward_argmax) continue;
    for (; t > 0; --t) {
      tag = (words[t * kLanes + l] >> (kBackBits * tag)) & ((1U << kBackBits) - 1);
      out[t - 1] = static_cast<std::int64_t>(tag);
    }
  }
}

template <typename T>
void by_lane(const Tables& tables, const Group<T>& group, void* scratch) {
  std::uint64_t* const words = static_cast<std::uint64_t*>(scratch);
  switch (tables.tags) {
    case 1:
      return by_lane_k<1>(tables, group, words);
    case 2:
      return by_lane_k<2>(tables, group, words);
    case 3:
      return by_lane_k<3>(tables, group, words);
    case 4:
      return by_lane_k<4>(tables, group, words);
    case 5:
      return by_lane_k<5>(tables, group, words);
    case 6:
      return by_lane_k<6>(tables, group, words);
    case 7:
      return by_lane_k<7>(tables, group, words);
    case 8:
      return by_lane_k<8>(tables, group, words);
    default:
      return by_lane_k<9>(tables, group, words);
  }
}

// ---- by_tag

// One row of emissions; the padding behind the tags is -inf.
template <typename T>
BIONER_INLINE V emission_at(const T* row, int tag, int tags) {
  return tag + V::kLanes <= tags ? V::load(row + tag) : V::load_n(row + tag, tags - tag, V::set1(kNone));
}

// kColumns vectors of to-tags from `tag` on, of kSentences sentences.
template <int kSentences, int kColumns, typename T>
BIONER_INLINE void step_columns(const Tables& tables, const double* const* previous, double* const* current,
                                const T* const* rows, int tag) {
  V best[kSentences][kColumns];
  for (int s = 0; s < kSentences; ++s) {
    for (int c = 0; c < kColumns; ++c) best[s][c] = V::set1(kNone);
  }
  const double* from = tables.transitions + tag;
  for (int i = 0; i < tables.tags; ++i, from += tables.stride) {
    V row[kColumns];  // loaded once for all sentences
    for (int c = 0; c < kColumns; ++c) row[c] = V::load(from + c * V::kLanes);
    for (int s = 0; s < kSentences; ++s) {
      const V alpha = V::set1(previous[s][i]);
      for (int c = 0; c < kColumns; ++c) best[s][c] = max(alpha + row[c], best[s][c]);
    }
  }
  for (int s = 0; s < kSentences; ++s) {
    for (int c = 0; c < kColumns; ++c) {
      const int column = tag + c * V::kLanes;
      (emission_at(rows[s], column, tables.tags) + best[s][c]).store(current[s] + column);
    }
  }
}

template <int kSentences, typename T>
BIONER_INLINE void step(const Tables& tables, const double* const* previous, double* const* current,
                        const T* const* rows) {
  constexpr int kColumns = kSentences > 1 ? 2 : 4;
  int tag = 0;
  for (; tag + (kColumns - 1) * V::kLanes < tables.tags; tag += kColumns * V::kLanes) {
    step_columns<kSentences, kColumns>(tables, previous, current, rows, tag);
  }
  for (; tag < tables.tags; tag += V::kLanes) {
    step_columns<kSentences, 1>(tables, previous, current, rows, tag);
  }
}

// The lowest tag with the greatest a[tag] + b[tag], and that sum: (-inf, 0) if nothing beats -inf.
BIONER_INLINE int argmax_sum(const double* a, const double* b, int tags, double* score) {
  V top = V::set1(kNone);
  for (int tag = 0; tag < tags; tag += V::kLanes) top = max(V::load(a + tag) + V::load(b + tag), top);
  *score = reduce_max(top);
  if (*score == kNone) return 0;
  top = V::set1(*score);
  if (tags <= 64) {  // without a branch that nobody can predict
    std::uint64_t hits = 0;
    for (int tag = 0; tag < tags; tag += V::kLanes) {
      hits |= static_cast<std::uint64_t>(equal_bits(V::load(a + tag) + V::load(b + tag), top)) << tag;
    }
    return __builtin_ctzll(hits);
  }
  for (int tag = 0;; tag += V::kLanes) {
    const unsigned hits = equal_bits(V::load(a + tag) + V::load(b + tag), top);
    if (hits != 0) return tag + __builtin_ctz(hits);
  }
}

template <int kSentences, typename T>
BIONER_INLINE void forward(const Tables& tables, const Group<T>& group, double* const* trellis, int first,
                           std::int64_t begin, std::int64_t end) {
  const double* previous[kSentences];
  double* current[kSentences];
  const T* rows[kSentences];
  for (std::int64_t t = begin; t < end; ++t) {
    for (int s = 0; s < kSentences; ++s) {
      previous[s] = trellis[first + s] + (t - 1) * tables.stride;
      current[s] = trellis[first + s] + t * tables.stride;
      rows[s] = group.emissions[first + s] + t * tables.tags;
    }
    step<kSentences>(tables, previous, current, rows);
  }
}

template <typename T>
void by_tag(const Tables& tables, const Group<T>& group, void* scratch) {
  const int stride = tables.stride;
  const int tags = tables.tags;
  double* trellis[kSideBySide];
  double* free = static_cast<double*>(scratch);
  for (int s = 0; s < group.count; ++s) {
    trellis[s] = free;
    free += group.lengths[s] * stride;
    for (int tag = 0; tag < tags; tag += V::kLanes) {
      (emission_at(group.emissions[s], tag, tags) + V::load(tables.start + tag)).store(trellis[s] + tag);
    }
  }
  std::int64_t together = 1;
  if (group.count == kSideBySide) {
    together = group.lengths[kSideBySide - 1];
    forward<kSideBySide>(tables, group, trellis, 0, 1, together);
  }
  for (int s = 0; s < group.count; ++s) forward<1>(tables, group, trellis, s, together, group.lengths[s]);

  int tag[kSideBySide];
  for (int s = 0; s < group.count; ++s) {
    double score;
    tag[s] = argmax_sum(trellis[s] + (group.lengths[s] - 1) * stride, tables.end, tags, &score);
    group.out_tags[s][group.lengths[s] - 1] = tag[s];
    *group.out_scores[s] = static_cast<T>(score);
  }
  // The walks of different sentences do not wait for each other, so they go side by side.
  for (std::int64_t t = group.lengths[0] - 1; t > 0; --t) {
    for (int s = 0; s < group.count && t < group.lengths[s]; ++s) {
      const double* const alpha = trellis[s] + (t - 1) * stride;
      double score;
      if (tables.forward_argmax) {
        tag[s] = argmax_sum(alpha, tables.zeros, tags, &score);
      } else {
        tag[s] =
            argmax_sum(alpha, tables.transposed + static_cast<std::int64_t>(tag[s]) * stride, tags, &score);
      }
      group.out_tags[s][t - 1] = tag[s];
    }
  }
}

}  // namespace viterbi_isa
}  // namespace bioner::BIONER_LEVEL

#if defined(BIONER_LEVEL_NEON)
namespace bioner::BIONER_LEVEL::viterbi_isa {
constexpr int kLanesFixed = 0;
constexpr decltype(bioner::viterbi::Kernels<float>::fixed) kDecodeFixed = nullptr;
}  // namespace bioner::BIONER_LEVEL::viterbi_isa
#else
#include "ops/viterbi/fixed-tags-inl.h"

namespace bioner::BIONER_LEVEL::viterbi_isa {
constexpr int kLanesFixed = Q::kLanes;
unsigned decode_fixed(const FixedTables& fixed_tables, const Tables& tables, const Group<float>& group,
                      void* scratch) {
  std::int32_t* const memory = static_cast<std::int32_t*>(scratch);
  return tables.tags <= bioner::viterbi::kFixedLaneTags ? fixed_lanes(fixed_tables, tables, group, memory)
                                                        : fixed_tags(fixed_tables, tables, group, memory);
}
constexpr decltype(bioner::viterbi::Kernels<float>::fixed) kDecodeFixed = &decode_fixed;
}  // namespace bioner::BIONER_LEVEL::viterbi_isa
#endif

namespace bioner::viterbi::BIONER_LEVEL {
namespace isa = bioner::BIONER_LEVEL::viterbi_isa;
const Kernels<float> f32 = {bioner::BIONER_LEVEL::V::kLanes, &isa::by_lane<float>, &isa::by_tag<float>,
                            isa::kLanesFixed, isa::kDecodeFixed};
const Kernels<double> f64 = {bioner::BIONER_LEVEL::V::kLanes, &isa::by_lane<double>, &isa::by_tag<double>, 0,
                             nullptr};
}  // namespace bioner::viterbi::BIONER_LEVEL
