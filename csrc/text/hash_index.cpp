#include "text/hash_index.h"

#include <algorithm>

namespace bioner {

std::vector<std::int64_t> build_hash_index(PackedStrings words, std::uint64_t* slots, std::int64_t n_slots) {
  std::vector<std::int64_t> repeated;
  const std::uint64_t mask = static_cast<std::uint64_t>(n_slots) - 1;
  // Slots lie anywhere in a table that no cache holds: some are on their way while others are filled.
  constexpr std::int64_t kAhead = 32;
  std::uint64_t hashes[kAhead];
  for (std::int64_t first = 0; first < words.size; first += kAhead) {
    const std::int64_t n = std::min(kAhead, words.size - first);
    for (std::int64_t k = 0; k < n; ++k) {
      hashes[k] = hash_bytes(words[first + k]);
#if defined(__GNUC__) || defined(__clang__)
      __builtin_prefetch(slots + (hashes[k] & mask), 1);
#endif
    }
    for (std::int64_t k = 0; k < n; ++k) {
      const std::int64_t position = first + k;
      const std::string_view word = words[position];
      const std::uint64_t h = hashes[k];
      for (std::uint64_t i = h & mask;; i = (i + 1) & mask) {
        const std::uint64_t slot = slots[i];
        if (slot == 0) {
          slots[i] = (h & 0xFFFFFFFF00000000ULL) | static_cast<std::uint64_t>(position + 1);
          break;
        }
        if ((slot ^ h) >> 32 == 0 && words[static_cast<std::int64_t>(slot & 0xFFFFFFFFu) - 1] == word) {
          repeated.push_back(position);
          break;
        }
      }
    }
  }
  return repeated;
}

StringCounts count_distinct(PackedStrings strings, const bool* chosen) {
  StringCounts counts;
  std::vector<std::uint64_t> hashes;             // of the distinct strings
  std::vector<std::int64_t> slots(1 << 12, -1);  // number of a distinct string
  for (std::int64_t i = 0; i < strings.size; ++i) {
    if (chosen != nullptr && !chosen[i]) continue;
    const std::string_view s = strings[i];
    const std::uint64_t h = hash_bytes(s);
    std::size_t slot = static_cast<std::size_t>(h) & (slots.size() - 1);
    for (;; slot = (slot + 1) & (slots.size() - 1)) {
      const std::int64_t k = slots[slot];
      if (k < 0) break;
      const auto at = static_cast<std::size_t>(k);
      if (hashes[at] == h && strings[counts.first[at]] == s) break;
    }
    if (slots[slot] >= 0) {
      ++counts.count[static_cast<std::size_t>(slots[slot])];
      continue;
    }
    slots[slot] = static_cast<std::int64_t>(hashes.size());
    hashes.push_back(h);
    counts.first.push_back(i);
    counts.count.push_back(1);
    if (hashes.size() * 2 > slots.size()) {
      slots.assign(slots.size() * 2, -1);
      for (std::size_t k = 0; k < hashes.size(); ++k) {
        slot = static_cast<std::size_t>(hashes[k]) & (slots.size() - 1);
        while (slots[slot] >= 0) slot = (slot + 1) & (slots.size() - 1);
        slots[slot] = static_cast<std::int64_t>(k);
      }
    }
  }
  return counts;
}

}  // namespace bioner
