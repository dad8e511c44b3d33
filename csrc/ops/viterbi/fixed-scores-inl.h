// What follows the walk back of fixed-lanes-inl.h: tags and scores, of one sentence after the other or of all
// lanes at once.
#include "base/core/fixed-inl.h"
#include "ops/viterbi/kernels.h"

namespace bioner::BIONER_LEVEL {
namespace viterbi_isa {

using bioner::viterbi::kGreatest;

// Tags of eight tokens from t on, from path [8, lanes]. Unused lanes repeat the first sentence, and are not
// written. kWhole: all sentences have all eight.
template <bool kWhole>
BIONER_INLINE void write_tags(const Group<float>& group, std::int64_t t, const std::int32_t* path) {
  constexpr int kLanes = Q::kLanes;
  std::uint8_t bytes[kLanes * 8];
  Q::pack(path, bytes);
  for (int s = 0; s < (kWhole ? kLanes : group.count); ++s) {
    const std::uint8_t* const tags = bytes + Q::byte_place(s);
    if constexpr (kWhole) {
      store_wide(group.out_tags[s] + t, tags);
    } else if (t < group.lengths[s]) {
      store_few(group.out_tags[s] + t, tags, group.lengths[s] - t);
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

// What the walk of up to kScoreTags looks up, as bits: transitions [K, K + 1], with `end` as last column, and
// start [K], a zero behind it.
template <int K>
BIONER_INLINE void make_weights(const Tables& tables, std::int32_t* weights, std::int32_t* starts) {
  auto put = [](double wide, std::int32_t* to) {
    const float value = static_cast<float>(wide);  // as it came
    std::memcpy(to, &value, sizeof value);
  };
  for (int i = 0; i < K; ++i) {
    put(tables.start[i], starts + i);
    for (int j = 0; j <= K; ++j) {
      put(j < K ? tables.transitions[i * tables.stride + j] : tables.end[i], weights + i * (K + 1) + j);
    }
  }
}

// The same for all lanes at once, from what the walk left: of each token the emission, and the weight that
// follows it. score [lanes] begins as the first weight. Lanes without a proof get anything.
//
// The sum waits for itself and the tags do not, so they are written between.
template <int K>
BIONER_INLINE unsigned write_lanes(const Group<float>& group, std::int64_t longest,
                                   const std::int32_t* emissions, const std::int32_t* alphas,
                                   const float* starts, unsigned unproved, const std::int32_t* path) {
  constexpr int kLanes = Q::kLanes;
  constexpr int kVectors = kLanes / V::kLanes;
  const float* emission = reinterpret_cast<const float*>(emissions);
  const float* weight = reinterpret_cast<const float*>(alphas);
  V sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = V::load(starts + v * V::kLanes);
  auto add = [&]() BIONER_INLINE_LAMBDA {
    for (int v = 0; v < kVectors; ++v) {
      sum[v] = (V::load(emission + v * V::kLanes) + sum[v]) + V::load(weight + v * V::kLanes);
    }
    emission += K * kLanes;
    weight += K * kLanes;
  };
  std::int64_t t = 0;
  const std::int64_t shortest = group.count == kLanes ? group.lengths[kLanes - 1] : 0;
  for (; t + 8 <= shortest; t += 8) {
    for (int i = 0; i < 8; ++i) add();
    write_tags<true>(group, t, path + t * kLanes);
  }
  for (; t < longest; t += 8) {
    for (std::int64_t i = t; i < longest && i < t + 8; ++i) add();
    write_tags<false>(group, t, path + t * kLanes);
  }
  double score[kLanes];
  for (int v = 0; v < kVectors; ++v) sum[v].store(score + v * V::kLanes);
  for (int s = 0; s < group.count; ++s) {
    *group.out_scores[s] = static_cast<float>(score[s]);
    unproved |= (score[s] == score[s] ? 0U : 1U) << s;  // NaN is in the score
  }
  return unproved & ((1U << group.count) - 1U);
}

}  // namespace viterbi_isa
}  // namespace bioner::BIONER_LEVEL
