// Viterbi in fixed point for one instruction set, a lane a sentence; see fixed.h.
//
// The forward pass keeps alpha only, written over the transposed emissions. The walk back repeats the one
// column it needs and sees there whether any other tag came near the best.
#include "core/fixed-inl.h"
#include "viterbi/kernels.h"

namespace bioner::BIONER_ISA {
namespace viterbi_isa {

using bioner::viterbi::FixedTables;
using bioner::viterbi::kFixedRow;
using bioner::viterbi::kGreatest;
using bioner::viterbi::kGreatestFixed;
using bioner::viterbi::kRebase;
using bioner::viterbi::kUnits;
using bioner::viterbi::margin;

constexpr std::int32_t kTally = 1 << 16;  // what one candidate adds to a tally, beside its tag

// Emissions in units; *most becomes the greatest that was seen.
BIONER_INLINE Q fixed(F emission, F* most) {
  *most = max(emission, *most);
  return max(to_fixed(emission, F::set1(kUnits)), Q::set1(-kGreatestFixed));
}

// Elements [begin, end) of the rows of four sentences to x [end, lanes]: element f of sentence s becomes x[f
// * lanes + s]. Zeros where a sentence has ended. `sizes` descend.
BIONER_INLINE void transpose_quad(const float* const* rows, const std::int64_t* sizes, std::int64_t begin,
                                  std::int64_t end, float* x) {
  constexpr int kLanes = Q::kLanes;
  std::int64_t f = begin;
  for (; f + 4 <= (end < sizes[3] ? end : sizes[3]); f += 4) {
    __m128 a = _mm_loadu_ps(rows[0] + f);
    __m128 b = _mm_loadu_ps(rows[1] + f);
    __m128 c = _mm_loadu_ps(rows[2] + f);
    __m128 d = _mm_loadu_ps(rows[3] + f);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(x + f * kLanes, a);
    _mm_storeu_ps(x + (f + 1) * kLanes, b);
    _mm_storeu_ps(x + (f + 2) * kLanes, c);
    _mm_storeu_ps(x + (f + 3) * kLanes, d);
  }
  for (; f < (end < sizes[0] ? end : sizes[0]); ++f) {
    for (int s = 0; s < 4; ++s) x[f * kLanes + s] = f < sizes[s] ? rows[s][f] : 0.0F;
  }
  for (; f < end; ++f) _mm_storeu_ps(x + f * kLanes, _mm_setzero_ps());
}

// All lanes, a piece that fits the first cache at a time.
BIONER_INLINE void transpose(const float* const* rows, const std::int64_t* sizes, std::int64_t size,
                             float* x) {
  constexpr std::int64_t kPiece = 64;
  for (std::int64_t begin = 0; begin < size; begin += kPiece) {
    const std::int64_t end = begin + kPiece < size ? begin + kPiece : size;
    for (int s = 0; s < Q::kLanes; s += 4) transpose_quad(rows + s, sizes + s, begin, end, x + s);
  }
}

// Few tags: alpha stays in registers, and is stored over the emissions `x` or elsewhere.
template <int K>
BIONER_INLINE F forward_small(const FixedTables& fixed_tables, std::int64_t longest, const std::int32_t* x,
                              std::int32_t* stored) {
  constexpr int kLanes = Q::kLanes;
  Q alpha[K];
  F most = F::set1(-kGreatest);
  for (int j = 0; j < K; ++j) {
    alpha[j] = fixed(F::load(x + j * kLanes), &most) + Q::set1(fixed_tables.start[j]);
    alpha[j].store(stored + j * kLanes);
  }
  for (std::int64_t t = 1; t < longest; ++t) {
    const std::int32_t* const row = x + t * K * kLanes;
    Q next[K];
    for (int j = 0; j < K; ++j) {
      Q best = alpha[0] + Q::set1(fixed_tables.transitions[j]);
      for (int i = 1; i < K; ++i) {
        best = max(alpha[i] + Q::set1(fixed_tables.transitions[i * kFixedRow + j]), best);
      }
      next[j] = fixed(F::load(row + j * kLanes), &most) + best;
    }
    if ((t & kRebase) == kRebase) {
      Q top = next[0];
      for (int j = 1; j < K; ++j) top = max(next[j], top);
      for (int j = 0; j < K; ++j) next[j] = next[j] - top;
    }
    for (int j = 0; j < K; ++j) {
      alpha[j] = next[j];
      alpha[j].store(stored + (t * K + j) * kLanes);
    }
  }
  return most;
}

// kColumns to-tags from `tag` on, one step.
template <int kColumns>
BIONER_INLINE void lane_columns(const FixedTables& fixed_tables, const std::int32_t* previous,
                                std::int32_t* row, int tag, F* most) {
  constexpr int kLanes = Q::kLanes;
  Q best[kColumns];
  for (int c = 0; c < kColumns; ++c) best[c] = Q::set1(INT32_MIN);
  const std::int32_t* weights = fixed_tables.transitions + tag;
  for (int i = 0; i < fixed_tables.tags; ++i, weights += kFixedRow) {
    const Q alpha = Q::load(previous + i * kLanes);
    for (int c = 0; c < kColumns; ++c) best[c] = max(alpha + Q::set1(weights[c]), best[c]);
  }
  for (int c = 0; c < kColumns; ++c) {
    std::int32_t* const cell = row + (tag + c) * kLanes;
    (fixed(F::load(cell), most) + best[c]).store(cell);
  }
}

BIONER_INLINE F forward_large(const FixedTables& fixed_tables, std::int64_t longest, std::int32_t* x) {
  constexpr int kLanes = Q::kLanes;
  const int tags = fixed_tables.tags;
  F most = F::set1(-kGreatest);
  for (int j = 0; j < tags; ++j) {
    (fixed(F::load(x + j * kLanes), &most) + Q::set1(fixed_tables.start[j])).store(x + j * kLanes);
  }
  for (std::int64_t t = 1; t < longest; ++t) {
    std::int32_t* const row = x + t * tags * kLanes;
    const std::int32_t* const previous = row - tags * kLanes;
    int tag = 0;
    for (; tag + 8 <= tags; tag += 8) lane_columns<8>(fixed_tables, previous, row, tag, &most);
    if (tag + 4 <= tags) {
      lane_columns<4>(fixed_tables, previous, row, tag, &most);
      tag += 4;
    }
    if (tag + 2 <= tags) {
      lane_columns<2>(fixed_tables, previous, row, tag, &most);
      tag += 2;
    }
    if (tag < tags) lane_columns<1>(fixed_tables, previous, row, tag, &most);
    if ((t & kRebase) == kRebase) {
      Q top = Q::load(row);
      for (int j = 1; j < tags; ++j) top = max(Q::load(row + j * kLanes), top);
      for (int j = 0; j < tags; ++j) (Q::load(row + j * kLanes) - top).store(row + j * kLanes);
    }
  }
  return most;
}

// The walk back of all lanes. A lane that has not begun to walk holds the tag `tags`, whose column is `end`.
// path [longest, lanes] takes the tags. Returns a bit for each lane without a proof. kTags: 0 if not known;
// kSize: how many entries of a row are in use.
template <int kTags, int kSize>
BIONER_INLINE unsigned walk_back(const FixedTables& fixed_tables, const std::int32_t* lengths,
                                 std::int64_t longest, const std::int32_t* x, F most, std::int32_t* path) {
  constexpr int kLanes = Q::kLanes;
  const int tags = kTags > 0 ? kTags : fixed_tables.tags;
  const Q length = Q::load(lengths);
  const Q closing = Q::set1(tags);
  Q tag = closing;
  Q all_tags = Q::set1(0);
  for (std::int64_t t = longest - 1; t >= 0; --t) {
    const std::int32_t* const alpha = x + t * tags * kLanes;
    Q candidate[kTags > 0 ? kTags : kFixedRow];
    Q best = Q::set1(INT32_MIN);
    for (int i = 0; i < tags; ++i) {
      candidate[i] =
          Q::load(alpha + i * kLanes) + look_up<kSize>(fixed_tables.transitions + i * kFixedRow, tag);
      best = max(candidate[i], best);
    }
    const Q threshold = best - Q::set1(margin(t) + 1);
    // A single candidate leaves its tag; several leave kTally or more.
    Q tally = Q::set1(-kTally);
    for (int i = 0; i < tags; ++i) {
      tally = add_where_greater(tally, candidate[i], threshold, Q::set1(kTally + i));
    }
    tag = where_greater(length, Q::set1(static_cast<std::int32_t>(t)), tally, closing);
    all_tags = all_tags | tag;
    tag.store(path + t * kLanes);
  }
  std::int32_t seen[kLanes];
  float greatest[kLanes];
  all_tags.store(seen);
  most.store(greatest);
  unsigned unproved = 0;
  for (int s = 0; s < kLanes; ++s) {
    unproved |= (seen[s] < kFixedRow && greatest[s] <= kGreatest ? 0U : 1U) << s;
  }
  return unproved;
}

// Writes tags and scores of kCount sentences from path [length, kLanes]: their sums do not wait for each
// other. Returns a bit for each that has inputs on its path which fixed.h raises.
template <int kLanes, int kCount>
BIONER_INLINE unsigned write_sentences(const Tables& tables, const Group<float>& group, const int* sentences,
                                       const std::int32_t* path) {
  const float* emissions[kCount];
  std::int64_t* out[kCount];
  std::int64_t length[kCount];
  std::int64_t tag[kCount];
  double score[kCount];
  double least[kCount];
  auto lower = [&](int n, double value) { least[n] = value < least[n] ? value : least[n]; };
  for (int n = 0; n < kCount; ++n) {
    const int s = sentences[n];
    emissions[n] = group.emissions[s];
    out[n] = group.out_tags[s];
    length[n] = group.lengths[s];
    tag[n] = path[s];
    out[n][0] = tag[n];
    score[n] = static_cast<double>(emissions[n][tag[n]]) + tables.start[tag[n]];
    least[n] = emissions[n][tag[n]];
    lower(n, tables.start[tag[n]]);
  }
  auto advance = [&](int n, std::int64_t t) {
    const std::int64_t next = path[t * kLanes + sentences[n]];
    const double transition = tables.transitions[tag[n] * tables.stride + next];
    emissions[n] += tables.tags;
    const double emission = static_cast<double>(emissions[n][next]);
    score[n] = emission + (score[n] + transition);
    lower(n, transition);
    lower(n, emission);
    tag[n] = next;
    out[n][t] = next;
  };
  for (std::int64_t t = 1; t < length[kCount - 1]; ++t) {
    for (int n = 0; n < kCount; ++n) advance(n, t);
  }
  unsigned raised = 0;
  for (int n = 0; n < kCount; ++n) {
    for (std::int64_t t = length[kCount - 1]; t < length[n]; ++t) advance(n, t);
    const double total = score[n] + tables.end[tag[n]];
    lower(n, tables.end[tag[n]]);
    *group.out_scores[sentences[n]] = static_cast<float>(total);
    // NaN is in the total.
    raised |= (least[n] >= -static_cast<double>(kGreatest) && total == total ? 0U : 1U) << sentences[n];
  }
  return raised;
}

// Writes all sentences that are proved; returns a bit for each that is not.
template <int kLanes>
BIONER_INLINE unsigned write_proved(const Tables& tables, const Group<float>& group, unsigned unproved,
                                    const std::int32_t* path) {
  int proved[kLanes];
  int count = 0;
  for (int s = 0; s < group.count; ++s) {
    proved[count] = s;
    count += (unproved >> s & 1U) == 0;
  }
  int n = 0;
  for (; n + 4 <= count; n += 4) unproved |= write_sentences<kLanes, 4>(tables, group, proved + n, path);
  for (; n < count; ++n) unproved |= write_sentences<kLanes, 1>(tables, group, proved + n, path);
  return unproved & ((1U << group.count) - 1U);
}

// The same for all lanes at once, where the transitions fit one table. x [longest, K, lanes] holds the
// emissions.
template <int K>
BIONER_INLINE unsigned score_lanes(const Tables& tables, const Group<float>& group,
                                   const std::int32_t* lengths, std::int64_t longest, const std::int32_t* x,
                                   unsigned unproved, const std::int32_t* path) {
  constexpr int kLanes = Q::kLanes;
  constexpr int kNegativeZero = INT32_MIN;  // adding it changes nothing
  float table[kFixedRow] = {};
  for (int i = 0; i < K; ++i) {
    for (int j = 0; j < K; ++j)
      table[i * K + j] = static_cast<float>(tables.transitions[i * tables.stride + j]);
  }
  std::int32_t table_bits[kFixedRow];
  std::memcpy(table_bits, table, sizeof table);

  double score[kLanes];
  float least_start[kLanes];
  for (int s = 0; s < kLanes; ++s) {
    const int tag = s < group.count && (unproved >> s & 1U) == 0 ? path[s] : 0;  // others hold no tag
    const float emission = group.emissions[s][tag];
    const float start = static_cast<float>(tables.start[tag]);
    score[s] = static_cast<double>(emission) + tables.start[tag];
    least_start[s] = start < emission ? start : emission;
  }
  V sum[2] = {V::load(score), V::load(score + V::kLanes)};
  F least = F::load(least_start);
  const Q length = Q::load(lengths);
  Q before = Q::load(path);
  for (std::int64_t t = 1; t < longest; ++t) {
    const Q tag = Q::load(path + t * kLanes);
    const std::int32_t* const row = x + t * K * kLanes;
    Q emission = Q::load(row);
    for (int j = 1; j < K; ++j) {
      emission = where_greater(tag, Q::set1(j - 1), Q::load(row + j * kLanes), emission);
    }
    Q index = before + tag;
    for (int n = 1; n < K; ++n) index = index + before;
    const Q here = Q::set1(static_cast<std::int32_t>(t));
    float values[2][kLanes];
    where_greater(length, here, emission, Q::set1(kNegativeZero)).store_bits(values[0]);
    where_greater(length, here, look_up<K * K>(table_bits, index), Q::set1(kNegativeZero))
        .store_bits(values[1]);
    least = min(F::load(values[0]), min(F::load(values[1]), least));
    for (int half = 0; half < 2; ++half) {
      const int first = half * V::kLanes;
      sum[half] = V::load(values[0] + first) + (sum[half] + V::load(values[1] + first));
    }
    before = tag;
  }
  sum[0].store(score);
  sum[1].store(score + V::kLanes);
  least.store(least_start);
  for (int s = 0; s < group.count; ++s) {
    if ((unproved >> s & 1U) != 0) continue;
    std::int64_t* const out = group.out_tags[s];
    for (std::int64_t t = 0; t < lengths[s]; ++t) out[t] = path[t * kLanes + s];
    const double end = tables.end[out[lengths[s] - 1]];
    const double total = score[s] + end;
    *group.out_scores[s] = static_cast<float>(total);
    const bool low = !(least_start[s] >= -kGreatest) || !(end >= -static_cast<double>(kGreatest));
    unproved |= (low || total != total ? 1U : 0U) << s;
  }
  return unproved & ((1U << group.count) - 1U);
}

// kTags: 0 if there are more than the registers hold.
template <int kTags, int kSize>
unsigned fixed_lanes_k(const FixedTables& fixed_tables, const Tables& tables, const Group<float>& group,
                       std::int32_t* x) {
  constexpr int kLanes = Q::kLanes;
  const std::int64_t longest = group.lengths[0];
  const std::int64_t size = longest * tables.tags;
  std::int64_t sizes[kLanes];
  std::int32_t lengths[kLanes];
  for (int s = 0; s < kLanes; ++s) {
    lengths[s] = s < group.count ? static_cast<std::int32_t>(group.lengths[s]) : 0;
    sizes[s] = static_cast<std::int64_t>(lengths[s]) * tables.tags;
  }
  transpose(group.emissions, sizes, size, reinterpret_cast<float*>(x));
  // Up to five tags the emissions are kept for the score.
  constexpr bool kScoreLanes = kTags > 0 && kTags <= 5;
  std::int32_t* const alpha = kScoreLanes ? x + size * kLanes : x;
  F most;
  if constexpr (kTags > 0) {
    most = forward_small<kTags>(fixed_tables, longest, x, alpha);
  } else {
    most = forward_large(fixed_tables, longest, x);
  }
  std::int32_t* const path = alpha + size * kLanes;
  const unsigned unproved = walk_back<kTags, kSize>(fixed_tables, lengths, longest, alpha, most, path);
  if constexpr (kScoreLanes) {
    return score_lanes<kTags>(tables, group, lengths, longest, x, unproved, path);
  }
  return write_proved<kLanes>(tables, group, unproved, path);
}

inline unsigned fixed_lanes(const FixedTables& fixed_tables, const Tables& tables, const Group<float>& group,
                            std::int32_t* scratch) {
  switch (tables.tags) {
    case 2:
      return fixed_lanes_k<2, 3>(fixed_tables, tables, group, scratch);
    case 3:
      return fixed_lanes_k<3, 4>(fixed_tables, tables, group, scratch);
    case 4:
      return fixed_lanes_k<4, 5>(fixed_tables, tables, group, scratch);
    case 5:
      return fixed_lanes_k<5, 6>(fixed_tables, tables, group, scratch);
    case 6:
      return fixed_lanes_k<6, 7>(fixed_tables, tables, group, scratch);
    case 7:
      return fixed_lanes_k<7, 8>(fixed_tables, tables, group, scratch);
    case 8:
      return fixed_lanes_k<8, 9>(fixed_tables, tables, group, scratch);
    case 9:
      return fixed_lanes_k<9, 10>(fixed_tables, tables, group, scratch);
    default:
      return tables.tags < 16 ? fixed_lanes_k<0, 16>(fixed_tables, tables, group, scratch)
                              : fixed_lanes_k<0, 32>(fixed_tables, tables, group, scratch);
  }
}

}  // namespace viterbi_isa
}  // namespace bioner::BIONER_ISA
