// Splitting packed sentences between threads by tokens.
#pragma once

#include <cstdint>
#include <vector>

namespace bioner {

// Sentences [first, last).
struct Piece {
  std::int64_t first;
  std::int64_t last;
};

// At most `count` pieces that hold about equally many tokens, in order, and together all sentences.
// A sentence is never split; a piece without sentences is left out.
std::vector<Piece> split_by_tokens(const std::int64_t* offsets, std::int64_t sentences, std::int64_t count);

// Tokens of the longest sentence of `piece`.
std::int64_t longest_sentence(const std::int64_t* offsets, const Piece& piece);

}  // namespace bioner
