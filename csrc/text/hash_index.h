// Open-addressing index from words to their positions, in a form that can be stored and memory-mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/packed_strings.h"

namespace bioner {

// Changes with the hash or the layout; stored indices carry it.
inline constexpr int kHashIndexVersion = 1;

// Hash of a byte string, the same on every platform of one byte order.
inline std::uint64_t hash_bytes(std::string_view s) {
  constexpr std::uint64_t kMul = 0x9E3779B97F4A7C15ULL;
  const char* p = s.data();
  std::size_t n = s.size();
  std::uint64_t h = kMul ^ static_cast<std::uint64_t>(n);
  const auto mix = [&](std::uint64_t k) {
    h = (h ^ k) * 0xD6E8FEB86659FD93ULL;
    h ^= h >> 32;
  };
  for (; n >= 8; p += 8, n -= 8) {
    std::uint64_t k;
    std::memcpy(&k, p, 8);
    mix(k);
  }
  if (n > 0) {
    std::uint64_t k = 0;
    std::memcpy(&k, p, n);
    mix(k);
  }
  h = (h ^ (h >> 29)) * kMul;
  return h ^ (h >> 32);
}

// A power of two of slots, at most half of them full. A slot is 0 when empty, else the upper half of the hash
// and, in the lower half, position + 1: most misses are settled without a look at the words.
class HashIndex {
 public:
  HashIndex(const std::uint64_t* slots, std::int64_t n_slots, PackedStrings words)
      : slots_(slots), mask_(static_cast<std::uint64_t>(n_slots) - 1), words_(words) {}

  // Position of `word`, -1 if it is not there.
  std::int32_t find(std::string_view word) const {
    const std::uint64_t h = hash_bytes(word);
    for (std::uint64_t i = h & mask_;; i = (i + 1) & mask_) {
      const std::uint64_t slot = slots_[i];
      if (slot == 0) return -1;
      if ((slot ^ h) >> 32 != 0) continue;
      // A stored index may lie: never read beyond the words.
      const auto position = static_cast<std::int64_t>(slot & 0xFFFFFFFFu) - 1;
      if (position >= 0 && position < words_.size && words_[position] == word) {
        return static_cast<std::int32_t>(position);
      }
    }
  }

  static std::int64_t slots_for(std::int64_t n_words) {
    std::int64_t n = 16;
    while (n < 2 * n_words) n *= 2;
    return n;
  }

 private:
  const std::uint64_t* slots_;
  std::uint64_t mask_;
  PackedStrings words_;
};

// Fills `slots` (slots_for(words.size) zeros) and returns the positions of words that occurred before: the
// first occurrence is the one in the index. words.size must be below 2^31.
std::vector<std::int64_t> build_hash_index(PackedStrings words, std::uint64_t* slots, std::int64_t n_slots);

// Distinct strings by first appearance.
struct StringCounts {
  std::vector<std::int64_t> first;  // position of the first occurrence
  std::vector<std::int64_t> count;
};
// Counts the strings i with chosen[i], all if `chosen` is null.
StringCounts count_distinct(PackedStrings strings, const bool* chosen);

}  // namespace bioner
