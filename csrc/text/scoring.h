// Agreement of predicted with gold tags: chunks and tokens.
#pragma once

#include <cstdint>

#include "text/tags.h"

namespace bioner {

struct ScoringInput {
  const std::int32_t* gold = nullptr;       // [offsets[n_sentences]], indices into gold_table
  const std::int32_t* predicted = nullptr;  // the same of predicted_table
  const std::int64_t* offsets = nullptr;    // [n_sentences + 1]
  std::int64_t n_sentences = 0;
  TagTable gold_table;  // types numbered alike in both tables
  TagTable predicted_table;
  std::int64_t n_types = 0;  // the empty type (-1) is counted in row n_types
};

// Adds true positives, false positives and false negatives per type to counts, [n_types + 1, 3].
void score_chunks(const ScoringInput& input, bool strict, Scheme scheme, std::int64_t* counts);

// The same by token. key: [n_tags] per table, the row (0 to n_rows - 1) a tag counts in, -1 for none.
void score_tokens(const ScoringInput& input, const std::int32_t* gold_key, const std::int32_t* predicted_key,
                  std::int64_t* counts);

// Tokens whose two tags are the same string. name: [n_tags] per table, equal numbers mean equal strings.
std::int64_t count_equal(const ScoringInput& input, const std::int32_t* gold_name,
                         const std::int32_t* predicted_name);

}  // namespace bioner
