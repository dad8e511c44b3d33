// Viterbi in fixed point for one instruction set, a lane a sentence; see fixed.h.
//
// The forward pass keeps alpha only, written over the transposed emissions. The walk back repeats the one
// column it needs and sees there whether any other tag came near the best.
#include "ops/viterbi/fixed-scores-inl.h"

namespace bioner::BIONER_LEVEL {
namespace viterbi_isa {

using bioner::viterbi::FixedTables;
using bioner::viterbi::kFixedRow;
using bioner::viterbi::kGreatestFixed;
using bioner::viterbi::kRebase;
using bioner::viterbi::kUnits;
using bioner::viterbi::margin;

constexpr std::int32_t kTally = 1 << 16;  // what one candidate adds to a tally, beside its tag

// Emissions in units; *most becomes the greatest that was seen.
BIONER_INLINE Q fixed(F emission, F* most) {
  *most = max(emission, *most);
  return to_fixed(max(emission, F::set1(-kGreatest)), F::set1(kUnits));
}

// The emissions of all lanes. What follows a sentence that has ended is anything: the next one's, or zeros.
struct Rows {
  const float* const* rows;
  std::int64_t sizes[Q::kLanes];  // elements of each
  std::int64_t readable;          // elements that may be read of every row

  BIONER_INLINE Rows(const Group<float>& group, const std::int32_t* lengths, int tags)
      : rows(group.emissions) {
    const float* furthest = rows[0];
    for (int s = 0; s < Q::kLanes; ++s) {
      furthest = rows[s] > furthest ? rows[s] : furthest;
      sizes[s] = static_cast<std::int64_t>(lengths[s]) * tags;
    }
    readable = group.emissions_end - furthest;
  }

  // Elements from `begin` on, 4 * kFours of them, to x [size, lanes].
  template <int kFours>
  BIONER_INLINE void transpose(std::int64_t begin, float* x) const {
    constexpr int kLanes = Q::kLanes;
    const std::int64_t end = begin + 4 * kFours;
    if (end <= readable) {
      for (std::int64_t f = begin; f < end; f += 4) {
        F::store_columns([&](int s) { return _mm_loadu_ps(rows[s] + f); }, x + f * kLanes, kLanes);
      }
      return;
    }
    for (std::int64_t f = begin; f < end; f += 4) {
      F::store_columns([&](int s) { return load_few(rows[s] + f, sizes[s] - f); }, x + f * kLanes, kLanes);
    }
  }
};

// Few tags: alpha stays in registers, and is stored over the emissions `x` or elsewhere. Emissions come by
// kRebase + 1 tokens: waiting for them and computing go side by side.
template <int K>
BIONER_INLINE F forward_small(const FixedTables& fixed_tables, const Group<float>& group, const Rows& rows,
                              std::int32_t* x, std::int32_t* stored) {
  constexpr int kLanes = Q::kLanes;
  constexpr std::int64_t kBlock = kRebase + 1;
  const std::int64_t longest = group.lengths[0];
  Q alpha[K];
  F most = F::set1(-kGreatest);
  auto fetch = [&](std::int64_t t) BIONER_INLINE_LAMBDA {
    rows.template transpose<K * kBlock / 4>(t * K, reinterpret_cast<float*>(x));
  };
  auto emission = [&](std::int64_t t, int j)
                      BIONER_INLINE_LAMBDA { return fixed(F::load(x + (t * K + j) * kLanes), &most); };
  auto keep = [&](std::int64_t t) BIONER_INLINE_LAMBDA {
    for (int j = 0; j < K; ++j) alpha[j].store(stored + (t * K + j) * kLanes);
  };
  auto step = [&](std::int64_t t) BIONER_INLINE_LAMBDA {
    Q next[K];
    for (int j = 0; j < K; ++j) {
      Q best = alpha[0] + Q::set1(fixed_tables.transitions[j]);
      for (int i = 1; i < K; ++i) {
        best = max(alpha[i] + Q::set1(fixed_tables.transitions[i * kFixedRow + j]), best);
      }
      next[j] = emission(t, j) + best;
    }
    for (int j = 0; j < K; ++j) alpha[j] = next[j];
  };
  auto rebase = [&]() BIONER_INLINE_LAMBDA {
    Q top = alpha[0];
    for (int j = 1; j < K; ++j) top = max(alpha[j], top);
    for (int j = 0; j < K; ++j) alpha[j] = alpha[j] - top;
  };
  fetch(0);
  for (int j = 0; j < K; ++j) alpha[j] = emission(0, j) + Q::set1(fixed_tables.start[j]);
  keep(0);
  std::int64_t t = 1;
  for (; t < kBlock && t < longest; ++t) {
    step(t);
    if (t == kRebase) rebase();
    keep(t);
  }
  for (; t + kBlock <= longest; t += kBlock) {
    fetch(t);
    // Meanwhile the next group's emissions come nearer, and the lines that this one's tags will go to.
    for (int s = 0; s < kLanes; ++s) {
      _mm_prefetch(reinterpret_cast<const char*>(group.next_emissions[s] + (t - kBlock) * K), _MM_HINT_T0);
    }
    if (t % (2 * kBlock) == 0) {
      for (int s = 0; s < kLanes; ++s) {
        _mm_prefetch(reinterpret_cast<const char*>(group.out_tags[s] + t), _MM_HINT_T0);
      }
    }
    for (int i = 0; i < kRebase; ++i) {
      step(t + i);
      keep(t + i);
    }
    step(t + kRebase);
    rebase();
    keep(t + kRebase);
  }
  if (t < longest) fetch(t);
  for (; t < longest; ++t) {
    step(t);
    keep(t);
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

// As many to-tags as the registers hold, with all that is around them.
#if defined(BIONER_LEVEL_AVX512)
constexpr int kMostColumns = 12;
#else
constexpr int kMostColumns = 8;
#endif

// 5 to kMostColumns to-tags; returns how many.
BIONER_INLINE int some_columns(int columns, const FixedTables& fixed_tables, const std::int32_t* previous,
                               std::int32_t* row, int tag, F* most) {
  switch (columns) {
    case 5:
      lane_columns<5>(fixed_tables, previous, row, tag, most);
      break;
    case 6:
      lane_columns<6>(fixed_tables, previous, row, tag, most);
      break;
    case 7:
      lane_columns<7>(fixed_tables, previous, row, tag, most);
      break;
    case 8:
      lane_columns<8>(fixed_tables, previous, row, tag, most);
      break;
    case 9:
      lane_columns<9>(fixed_tables, previous, row, tag, most);
      break;
    case 10:
      lane_columns<10>(fixed_tables, previous, row, tag, most);
      break;
    case 11:
      lane_columns<11>(fixed_tables, previous, row, tag, most);
      break;
    default:
      lane_columns<12>(fixed_tables, previous, row, tag, most);
  }
  return columns;
}

// Meanwhile the emissions of the next group come nearer: sorted sentences lie anywhere.
BIONER_INLINE F forward_large(const FixedTables& fixed_tables, const Group<float>& group,
                              std::int64_t longest, std::int32_t* x) {
  constexpr int kLanes = Q::kLanes;
  const int tags = fixed_tables.tags;
  F most = F::set1(-kGreatest);
  for (int j = 0; j < tags; ++j) {
    (fixed(F::load(x + j * kLanes), &most) + Q::set1(fixed_tables.start[j])).store(x + j * kLanes);
  }
  for (std::int64_t t = 1; t < longest; ++t) {
    std::int32_t* const row = x + t * tags * kLanes;
    const std::int32_t* const previous = row - tags * kLanes;
    for (int s = 0; s < kLanes; ++s) {
      const char* const next = reinterpret_cast<const char*>(group.next_emissions[s] + (t - 1) * tags);
      _mm_prefetch(next, _MM_HINT_T1);
      _mm_prefetch(next + 64, _MM_HINT_T1);
    }
    for (int tag = 0; tag < tags;) {  // columns in equal parts
      const int left = tags - tag;
      const int parts = (left + kMostColumns - 1) / kMostColumns;
      tag += some_columns((left + parts - 1) / parts, fixed_tables, previous, row, tag, &most);
    }
    if ((t & kRebase) == kRebase) {
      Q top = Q::load(row);
      for (int j = 1; j < tags; ++j) top = max(Q::load(row + j * kLanes), top);
      for (int j = 0; j < tags; ++j) (Q::load(row + j * kLanes) - top).store(row + j * kLanes);
    }
  }
  return most;
}

// Up to this many tags a walk finds the scores, too: the transitions, with `end`, fit one table.
constexpr int kScoreTags = 5;
constexpr std::int32_t kNegativeZero = INT32_MIN;  // as a float: adding it changes nothing

// tag * times, by additions.
BIONER_INLINE Q multiple(Q tag, int times) {
  if (times == 1) return tag;
  const Q half = multiple(tag, times / 2);
  return times % 2 == 0 ? half + half : half + half + tag;
}

// The walk back of all lanes. A lane that has not begun to walk holds the tag `tags`, whose column is `end`.
// path [longest, lanes] takes the tags. Returns a bit for each lane without a proof. kTags: 0 if not known;
// kSize: how many entries of a row are in use.
//
// Up to kScoreTags, the score's parts at token t go where nobody looks any more: the emission to the first
// row of emissions [longest, tags, lanes] at t, and what follows it (transition or end) to that of alpha.
// The first weight goes to score [lanes].
template <int kTags, int kSize>
BIONER_INLINE unsigned walk_back(const FixedTables& fixed_tables, const Tables& tables,
                                 const std::int32_t* lengths, std::int64_t longest, std::int32_t* emissions,
                                 std::int32_t* alphas, F most, std::int32_t* path, float* score) {
  constexpr int kLanes = Q::kLanes;
  constexpr bool kScore = kTags > 0 && kTags <= kScoreTags;
  const int tags = kTags > 0 ? kTags : fixed_tables.tags;
  std::int32_t weights[kFixedRow] = {};
  std::int32_t starts[kFixedRow] = {};
  if constexpr (kScore) make_weights<kTags>(tables, weights, starts);
  const Q length = Q::load(lengths);
  const Q closing = Q::set1(tags);
  const Q nothing = Q::set1(kNegativeZero);
  Q tag = closing;
  Q all_tags = Q::set1(0);
  F least = F::set1(kGreatest);
  // kInside: no lane has ended.
  auto step = [&]<bool kInside>(std::int64_t t) BIONER_INLINE_LAMBDA {
    auto if_inside = [&](Q x, Q otherwise) BIONER_INLINE_LAMBDA {
      return kInside ? x : where_greater(length, Q::set1(static_cast<std::int32_t>(t)), x, otherwise);
    };
    std::int32_t* const alpha = alphas + t * tags * kLanes;
    const Q next = tag;
    Q candidate[kTags > 0 ? kTags : kFixedRow];
    Q best = Q::set1(INT32_MIN);
    for (int i = 0; i < tags; ++i) {
      candidate[i] =
          Q::load(alpha + i * kLanes) + look_up<kSize>(fixed_tables.transitions + i * kFixedRow, next);
      best = max(candidate[i], best);
    }
    const Q threshold = best - Q::set1(margin(t) + 1);
    // A single candidate leaves its tag; several leave kTally or more.
    Q tally = Q::set1(-kTally);
    for (int i = 0; i < tags; ++i) {
      tally = add_where_greater(tally, candidate[i], threshold, Q::set1(kTally + i));
    }
    tag = if_inside(tally, closing);
    all_tags = all_tags | tag;
    tag.store(path + t * kLanes);
    if constexpr (kScore) {
      std::int32_t* const row = emissions + t * tags * kLanes;
      // The comparisons are those that gave the tag.
      Q emission = Q::load(row);
      for (int j = 1; j < tags; ++j) {
        emission = where_greater(candidate[j], threshold, Q::load(row + j * kLanes), emission);
      }
      emission = if_inside(emission, nothing);
      const Q weight =
          if_inside(look_up<kTags*(kTags + 1)>(weights, multiple(tag, tags + 1) + next), nothing);
      least = min(as_float(emission), min(as_float(weight), least));
      emission.store(row);
      weight.store(alpha);
    }
  };
  std::int64_t t = longest - 1;
  for (const std::int64_t shortest = lengths[kLanes - 1]; t >= shortest; --t)
    step.template operator()<false>(t);
  for (; t >= 0; --t) step.template operator()<true>(t);
  if constexpr (kScore) {
    const Q weight = look_up<kTags + 1>(starts, tag);
    least = min(as_float(weight), least);
    weight.store_bits(score);
  }
  return greater_bits(all_tags, Q::set1(kFixedRow - 1)) | greater_bits(most, F::set1(kGreatest)) |
         greater_bits(F::set1(-kGreatest), least);
}

// kTags: 0 if there are more than the registers hold.
template <int kTags, int kSize>
unsigned fixed_lanes_k(const FixedTables& fixed_tables, const Tables& tables, const Group<float>& group,
                       std::int32_t* x) {
  constexpr int kLanes = Q::kLanes;
  constexpr bool kScore = kTags > 0 && kTags <= kScoreTags;
  const std::int64_t longest = group.lengths[0];
  std::int32_t lengths[kLanes];
  for (int s = 0; s < kLanes; ++s) {
    lengths[s] = s < group.count ? static_cast<std::int32_t>(group.lengths[s]) : 0;
  }
  const Rows rows(group, lengths, tables.tags);
  // Emissions are taken by kRebase + 1 tokens.
  const std::int64_t size = (longest + kRebase) * tables.tags * kLanes;
  std::int32_t* const alphas = kScore ? x + size : x;
  std::int32_t* const path = alphas + size;
  float score[kLanes];
  F most;
  if constexpr (kTags > 0) {
    most = forward_small<kTags>(fixed_tables, group, rows, x, alphas);
  } else {
    for (std::int64_t f = 0; f < longest * tables.tags; f += 4) {
      rows.template transpose<1>(f, reinterpret_cast<float*>(x));
    }
    most = forward_large(fixed_tables, group, longest, x);
  }
  const unsigned unproved =
      walk_back<kTags, kSize>(fixed_tables, tables, lengths, longest, x, alphas, most, path, score);
  if constexpr (kScore) {
    return write_lanes<kTags>(group, longest, x, alphas, score, unproved, path);
  } else {
    return write_proved<kLanes>(tables, group, unproved, path);
  }
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
}  // namespace bioner::BIONER_LEVEL
