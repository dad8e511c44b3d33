// What follows the walk back of fixed-lanes-inl.h: tags and scores, of one sentence after the other or of all
// lanes at once.
#include "core/fixed-inl.h"
#include "viterbi/kernels.h"

namespace bioner::BIONER_ISA {
namespace viterbi_isa {

using bioner::viterbi::kGreatest;

// path [longest + 3, lanes] to the tags of all sentences. Those behind the last sentence of the group repeat
// the first one, and are not written.
BIONER_INLINE void write_tags(const Group<float>& group, const std::int32_t* path) {
  constexpr int kLanes = Q::kLanes;
  for (int s = 0; s < group.count; s += 4) {
    const int count = group.count - s < 4 ? group.count - s : 4;
    const std::int64_t shortest = group.lengths[s + count - 1];
    for (std::int64_t t = 0; t < group.lengths[s]; t += 4) {
      __m128i tags[4];
      load_transposed(path + t * kLanes + s, kLanes, tags);
      if (count == 4 && t + 4 <= shortest) {
        for (int i = 0; i < 4; ++i) store_wide(group.out_tags[s + i] + t, tags[i]);
      } else {
        for (int i = 0; i < count; ++i) {
          store_few(group.out_tags[s + i] + t, tags[i], group.lengths[s + i] - t);
        }
      }
    }
  }
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

// What the walk of up to kScoreTags looks up: transitions [K, K + 1], with `end` as last column, as bits.
template <int K>
BIONER_INLINE void make_weights(const Tables& tables, std::int32_t* weights) {
  for (int i = 0; i < K; ++i) {
    for (int j = 0; j <= K; ++j) {
      const double wide = j < K ? tables.transitions[i * tables.stride + j] : tables.end[i];
      const float value = static_cast<float>(wide);  // as it came
      std::memcpy(weights + i * (K + 1) + j, &value, sizeof value);
    }
  }
}

// The same for all lanes at once, from what the walk left. Lanes without a proof get anything.
template <int K>
BIONER_INLINE unsigned write_lanes(const Tables& tables, const Group<float>& group, std::int64_t longest,
                                   const std::int32_t* emissions, const std::int32_t* alphas,
                                   unsigned unproved, const std::int32_t* path) {
  constexpr int kLanes = Q::kLanes;
  const float* emission = reinterpret_cast<const float*>(emissions);
  const float* weight = reinterpret_cast<const float*>(alphas);
  V sum[2];
  double score[kLanes];
  for (int s = 0; s < kLanes; ++s) {
    const std::int32_t tag = path[s];
    score[s] = tables.start[0 <= tag && tag < K ? tag : 0];
    unproved |= (score[s] >= -static_cast<double>(kGreatest) ? 0U : 1U) << s;
  }
  for (int half = 0; half < 2; ++half) {
    sum[half] = V::load(emission + half * V::kLanes) + V::load(score + half * V::kLanes);
  }
  for (std::int64_t t = 1; t < longest; ++t, weight += K * kLanes) {
    emission += K * kLanes;
    for (int half = 0; half < 2; ++half) {
      const int first = half * V::kLanes;
      sum[half] = V::load(emission + first) + (sum[half] + V::load(weight + first));
    }
  }
  for (int half = 0; half < 2; ++half) {
    (sum[half] + V::load(weight + half * V::kLanes)).store(score + half * V::kLanes);
  }
  write_tags(group, path);
  for (int s = 0; s < group.count; ++s) {
    *group.out_scores[s] = static_cast<float>(score[s]);
    unproved |= (score[s] == score[s] ? 0U : 1U) << s;  // NaN is in the score
  }
  return unproved & ((1U << group.count) - 1U);
}

}  // namespace viterbi_isa
}  // namespace bioner::BIONER_ISA
