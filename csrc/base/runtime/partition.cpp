#include "base/runtime/partition.h"

#include <algorithm>

namespace bioner {

std::vector<Piece> split_by_tokens(const std::int64_t* offsets, std::int64_t sentences, std::int64_t count) {
  std::vector<Piece> pieces;
  const std::int64_t tokens = offsets[sentences];
  std::int64_t first = 0;
  for (std::int64_t p = 1; p <= count && first < sentences; ++p) {
    std::int64_t last = sentences;
    if (p < count) {
      // Without tokens * p, which could overflow.
      const std::int64_t target = tokens / count * p + tokens % count * p / count;
      last = std::lower_bound(offsets + first, offsets + sentences, target) - offsets;
    }
    if (last > first) {
      pieces.push_back({first, last});
      first = last;
    }
  }
  return pieces;
}

std::int64_t longest_sentence(const std::int64_t* offsets, const Piece& piece) {
  std::int64_t longest = 0;
  for (std::int64_t b = piece.first; b < piece.last; ++b) {
    longest = std::max(longest, offsets[b + 1] - offsets[b]);
  }
  return longest;
}

}  // namespace bioner
