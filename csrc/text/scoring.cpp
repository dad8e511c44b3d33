#include "text/scoring.h"

#include <vector>

namespace bioner {

void score_chunks(const ScoringInput& in, bool strict, Scheme scheme, std::int64_t* counts) {
  std::vector<Span> gold;
  std::vector<Span> predicted;
  const auto spans = [&](const std::int32_t* tags, std::int64_t s, const TagTable& table,
                         std::vector<Span>* out) {
    out->clear();
    if (strict) {
      strict_spans(tags, in.offsets[s], in.offsets[s + 1], table, scheme, out);
    } else {
      lenient_spans(tags, in.offsets[s], in.offsets[s + 1], table, out);
    }
  };
  const auto row = [&](const Span& span) { return counts + 3 * (span.type < 0 ? in.n_types : span.type); };
  for (std::int64_t s = 0; s < in.n_sentences; ++s) {
    spans(in.gold, s, in.gold_table, &gold);
    spans(in.predicted, s, in.predicted_table, &predicted);
    // Chunks of a sentence do not overlap and come in order: two walks side by side find the common ones.
    std::size_t g = 0;
    std::size_t p = 0;
    while (g < gold.size() || p < predicted.size()) {
      if (g < gold.size() && p < predicted.size() && gold[g] == predicted[p]) {
        ++row(gold[g])[0];
        ++g;
        ++p;
      } else if (p >= predicted.size() || (g < gold.size() && gold[g].start <= predicted[p].start)) {
        ++row(gold[g++])[2];
      } else {
        ++row(predicted[p++])[1];
      }
    }
  }
}

void score_tokens(const ScoringInput& in, const std::int32_t* gold_key, const std::int32_t* predicted_key,
                  std::int64_t* counts) {
  for (std::int64_t i = in.offsets[0]; i < in.offsets[in.n_sentences]; ++i) {
    const std::int32_t g = gold_key[in.gold[i]];
    const std::int32_t p = predicted_key[in.predicted[i]];
    if (g == p) {
      if (g >= 0) ++counts[3 * g];
    } else {
      if (p >= 0) ++counts[3 * p + 1];
      if (g >= 0) ++counts[3 * g + 2];
    }
  }
}

std::int64_t count_equal(const ScoringInput& in, const std::int32_t* gold_name,
                         const std::int32_t* predicted_name) {
  std::int64_t equal = 0;
  for (std::int64_t i = in.offsets[0]; i < in.offsets[in.n_sentences]; ++i) {
    equal += gold_name[in.gold[i]] == predicted_name[in.predicted[i]];
  }
  return equal;
}

}  // namespace bioner
