// Packed sequences: sentences lie one after another; offsets[b] .. offsets[b + 1] are the tokens of sentence
// b.
#pragma once

#include <cstdint>

#include "base/core/macros.h"

namespace bioner {

// A half-open run of tokens.
struct TokenRange {
  std::int64_t begin;
  std::int64_t end;
};

// Views the caller's offsets. Every accessor clamps to [0, tokens], because on CUDA contents arrive
// unchecked: bad offsets give wrong answers there, never an access out of bounds. Nor is a token left out:
// the first sentence begins at 0 and the last ends at `tokens` whatever the offsets say, and what lies
// between is crossed upwards somewhere.
struct PackedOffsets {
  const std::int64_t* data;  // [batch + 1]
  std::int64_t batch;
  std::int64_t tokens;

  BIONER_HD BIONER_INLINE std::int64_t clamp(std::int64_t value) const {
    return value < 0 ? 0 : (value > tokens ? tokens : value);
  }

  // Tokens of sentence `b`; never a negative length. Empty where there is no such sentence.
  BIONER_HD BIONER_INLINE TokenRange sentence(std::int64_t b) const {
    if (b >= batch) return {0, 0};
    const std::int64_t begin = b == 0 ? 0 : clamp(data[b]);
    const std::int64_t end = b + 1 == batch ? tokens : clamp(data[b + 1]);
    return {begin, end < begin ? begin : end};
  }

  // The sentence that holds `token`, by binary search: the last b with data[b] <= token. Empty sentences are
  // skipped.
  BIONER_HD BIONER_INLINE std::int64_t sentence_of(std::int64_t token) const {
    std::int64_t low = 0;
    std::int64_t high = batch;  // data[high] > token for good offsets
    while (high - low > 1) {
      const std::int64_t middle = low + (high - low) / 2;
      if (data[middle] <= token) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

}  // namespace bioner
