// Viterbi in fixed point for one instruction set, a lane a to-tag; see fixed.h. Several sentences go side by
// side, so that they share each load of the transitions.
#include "ops/viterbi/fixed-lanes-inl.h"

namespace bioner::BIONER_LEVEL {
namespace viterbi_isa {

// A broken vector of no more than this many to-tags is done tag by tag, with the lanes over from-tags.
constexpr int kShortTail = 3;

struct Side {
  const float* emissions[kSideBySide];
  std::int32_t* alpha[kSideBySide];  // [length, stride]
  F most[kSideBySide];
};

BIONER_INLINE Q fixed_at(const float* row, int tag, int tags, F* most) {
  return fixed(
      tag + Q::kLanes <= tags ? F::load(row + tag) : F::load_n(row + tag, tags - tag, F::set1(-kGreatest)),
      most);
}

// kColumns vectors of to-tags from `tag` on, of kCount sentences from `first` on, at token t.
template <int kCount, int kColumns>
BIONER_INLINE void tag_columns(const FixedTables& fixed_tables, Side* side, int first, std::int64_t t,
                               int tag) {
  const std::int32_t* previous[kCount];
  Q best[kCount][kColumns];
  for (int s = 0; s < kCount; ++s) {
    previous[s] = side->alpha[first + s] + (t - 1) * fixed_tables.stride;
    for (int c = 0; c < kColumns; ++c) best[s][c] = Q::set1(INT32_MIN);
  }
  const std::int32_t* from = fixed_tables.transitions + tag;
  for (int i = 0; i < fixed_tables.tags; ++i, from += fixed_tables.stride) {
    Q row[kColumns];  // loaded once for all sentences
    for (int c = 0; c < kColumns; ++c) row[c] = Q::load(from + c * Q::kLanes);
    for (int s = 0; s < kCount; ++s) {
      const Q alpha = Q::set1(previous[s][i]);
      for (int c = 0; c < kColumns; ++c) best[s][c] = max(alpha + row[c], best[s][c]);
    }
  }
  for (int s = 0; s < kCount; ++s) {
    const float* const emissions = side->emissions[first + s] + t * fixed_tables.tags;
    std::int32_t* const current = side->alpha[first + s] + t * fixed_tables.stride;
    for (int c = 0; c < kColumns; ++c) {
      const int column = tag + c * Q::kLanes;
      (fixed_at(emissions, column, fixed_tables.tags, &side->most[first + s]) + best[s][c])
          .store(current + column);
    }
  }
}

BIONER_INLINE std::int32_t greatest_sum(const std::int32_t* a, const std::int32_t* b, int tags) {
  Q top = Q::load(a) + Q::load(b);
  for (int tag = Q::kLanes; tag < tags; tag += Q::kLanes) top = max(Q::load(a + tag) + Q::load(b + tag), top);
  return reduce_max(top);
}

template <int kCount>
BIONER_INLINE void tag_step(const FixedTables& fixed_tables, Side* side, int first, std::int64_t t) {
  const int tags = fixed_tables.tags;
  const int stride = fixed_tables.stride;
  const int broken = tags % Q::kLanes;
  const int whole = broken <= kShortTail ? tags - broken : tags;
  int tag = 0;
  for (; tag + (Q::kColumns - 1) * Q::kLanes < whole; tag += Q::kColumns * Q::kLanes) {
    tag_columns<kCount, Q::kColumns>(fixed_tables, side, first, t, tag);
  }
  for (; tag < whole; tag += Q::kLanes) tag_columns<kCount, 1>(fixed_tables, side, first, t, tag);
  if (whole == tags) return;
  for (int s = first; s < first + kCount; ++s) {
    const std::int32_t* const previous = side->alpha[s] + (t - 1) * stride;
    std::int32_t* const current = side->alpha[s] + t * stride + whole;
    fixed_at(side->emissions[s] + t * tags, whole, tags, &side->most[s]).store(current);
    for (int j = 0; j < broken; ++j) {
      const std::int32_t best = greatest_sum(previous, fixed_tables.transposed + (whole + j) * stride, tags);
      // As unsigned, which wraps as vectors do: nothing holds for sentences without a proof.
      current[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(current[j]) +
                                             static_cast<std::uint32_t>(best));
    }
    for (int j = broken; j < Q::kLanes; ++j)
      current[j] = current[0];  // behind by kPadding wherever it is read
  }
}

template <int kCount>
BIONER_INLINE void tag_forward(const FixedTables& fixed_tables, Side* side, int first, std::int64_t begin,
                               std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    tag_step<kCount>(fixed_tables, side, first, t);
    if ((t & kRebase) != kRebase) continue;
    for (int s = first; s < first + kCount; ++s) {
      std::int32_t* const alpha = side->alpha[s] + t * fixed_tables.stride;
      Q top = Q::load(alpha);
      for (int tag = Q::kLanes; tag < fixed_tables.tags; tag += Q::kLanes)
        top = max(Q::load(alpha + tag), top);
      top = Q::set1(reduce_max(top));
      for (int tag = 0; tag < fixed_tables.tags; tag += Q::kLanes) {
        (Q::load(alpha + tag) - top).store(alpha + tag);
      }
    }
  }
}

// The tag of the greatest a[tag] + b[tag], if no other is within `close` of it; else -1.
BIONER_INLINE int clear_argmax(const std::int32_t* a, const std::int32_t* b, int tags, std::int32_t close) {
  const std::int32_t best = greatest_sum(a, b, tags);
  const Q threshold = Q::set1(best) - Q::set1(close + 1);
  int count = 0;
  int found = 0;
  for (int tag = 0; tag < tags; tag += Q::kLanes) {
    const unsigned bits = greater_bits(Q::load(a + tag) + Q::load(b + tag), threshold);
    count += __builtin_popcount(bits);
    found = bits != 0 ? tag + __builtin_ctz(bits) : found;
  }
  return count == 1 ? found : -1;
}

inline unsigned fixed_tags(const FixedTables& fixed_tables, const Tables& tables, const Group<float>& group,
                           std::int32_t* scratch) {
  const int tags = fixed_tables.tags;
  const int stride = fixed_tables.stride;
  Side side;
  for (int s = 0; s < group.count; ++s) {
    side.emissions[s] = group.emissions[s];
    side.alpha[s] = scratch;
    side.most[s] = F::set1(-kGreatest);
    scratch += group.lengths[s] * stride;
    for (int tag = 0; tag < tags; tag += Q::kLanes) {
      const Q emission = fixed_at(group.emissions[s], tag, tags, &side.most[s]);
      (emission + Q::load(fixed_tables.start + tag)).store(side.alpha[s] + tag);
    }
  }
  std::int64_t together = 1;
  if (group.count == kSideBySide) {
    together = group.lengths[kSideBySide - 1];
    tag_forward<kSideBySide>(fixed_tables, &side, 0, 1, together);
  }
  for (int s = 0; s < group.count; ++s) tag_forward<1>(fixed_tables, &side, s, together, group.lengths[s]);

  int tag[kSideBySide];
  unsigned unproved = 0;
  std::int32_t* const path = scratch;  // [lengths[0], kSideBySide]
  for (int s = 0; s < group.count; ++s) {
    tag[s] = tags;  // its column is `end`
    float greatest[Q::kLanes];
    side.most[s].store(greatest);
    for (const float value : greatest) unproved |= (value <= kGreatest ? 0U : 1U) << s;
  }
  // The walks of different sentences do not wait for each other, so they go side by side.
  for (std::int64_t t = group.lengths[0] - 1; t >= 0; --t) {
    for (int s = 0; s < group.count && t < group.lengths[s]; ++s) {
      tag[s] = clear_argmax(side.alpha[s] + t * stride, fixed_tables.transposed + tag[s] * stride, tags,
                            margin(t));
      if (tag[s] < 0) {
        unproved |= 1U << s;
        tag[s] = 0;
      }
      path[t * kSideBySide + s] = tag[s];
    }
  }
  return write_proved<kSideBySide>(tables, group, unproved, path);
}

}  // namespace viterbi_isa
}  // namespace bioner::BIONER_LEVEL
