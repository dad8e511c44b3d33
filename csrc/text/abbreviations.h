// Abbreviations that a text defines, and the places where a name comes again. Both work on tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "text/packed_strings.h"

namespace bioner {

// Tokens of some documents, packed; `starts` and `ends` are code points in the token's own document.
struct TokenText {
  PackedStrings tokens;
  const std::int64_t* starts = nullptr;
  const std::int64_t* ends = nullptr;
};

// A definition: token numbers, ends exclusive.
struct Abbreviation {
  std::int64_t short_start = 0, short_end = 0, long_start = 0, long_end = 0;
};

// Definitions by the rule of Schwartz and Hearst (2003), in the order of the text: "long form (SF)", and "SF
// (long form)" where the brackets hold more than two words. Sentences are looked at one by one.
void find_abbreviations(const TokenText& text, const std::int64_t* sentences, std::int64_t n_sentences,
                        std::vector<Abbreviation>& found);

// Where names come again in their own document.
struct Repeats {
  std::vector<std::int64_t> group;                           // of every name: which names are the same
  std::vector<std::int64_t> starts, ends, occurrence_group;  // of every occurrence, by document and start
};

// `documents`: token numbers [n_documents + 1]. `name_starts` and `name_ends`: tokens of the names, by
// ascending start. Two names are the same where their tokens are, but for the capital of a word that has no
// other and at least four letters. Names of more than kLongestName tokens are each alone and occur nowhere.
inline constexpr std::int64_t kLongestName = 32;
void find_repeats(PackedStrings tokens, const std::int64_t* documents, std::int64_t n_documents,
                  const std::int64_t* name_starts, const std::int64_t* name_ends, std::int64_t n_names,
                  Repeats& repeats);

}  // namespace bioner
