#include "text/word_forms.h"

#include <algorithm>
#include <string>

#include "base/runtime/thread_pool.h"
#include "text/hash_index.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace bioner {

namespace {

constexpr std::uint8_t kPad = 0, kBegin = 1, kEnd = 2, kFirstPrintable = 3;
constexpr int kHalf = (kCharacterSlots - 2) / 2;

bool is_ascii(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void decode(std::string_view s, std::vector<char32_t>& out) {
  out.clear();
  const char* p = s.data();
  const char* const end = p + s.size();
  while (p < end) out.push_back(next_code_point(p, end));
}

std::uint8_t character_id(char32_t c, const std::uint8_t* classes) {
  if (c >= 0x20 && c < 0x7F) return static_cast<std::uint8_t>(c - 0x20 + kFirstPrintable);
  const std::uint8_t kind = classes[c];
  int other = 4;
  if ((kind & kUpper) != 0) {
    other = 0;
  } else if ((kind & kCased) != 0) {
    other = 1;
  } else if ((kind & kAlnum) != 0) {
    other = 2;
  } else if ((kind & kMark) != 0) {
    other = 3;
  }
  return static_cast<std::uint8_t>(kFirstPrintable + 95 + other);
}

// FNV-1a over code points, four bytes each, and a final mix: the same on every platform.
class Hash {
 public:
  explicit Hash(int column) { add(static_cast<char32_t>(column)); }
  void add(char32_t c) {
    for (int shift = 0; shift < 32; shift += 8) {
      value_ = (value_ ^ (static_cast<std::uint64_t>(c) >> shift & 0xFF)) * 0x100000001B3ULL;
    }
  }
  std::int32_t row(int rows) const {
    std::uint64_t h = value_;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ULL;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBULL;
    h ^= h >> 31;
    return static_cast<std::int32_t>(h % static_cast<std::uint64_t>(rows));
  }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325ULL;
};

// The token's outline: A for capitals, a for other letters, 0 for digits, at most two of a kind in a row.
char32_t outline(char32_t c, const std::uint8_t* classes) {
  if (c >= '0' && c <= '9') return '0';
  const std::uint8_t kind = classes[c];
  if ((kind & kUpper) != 0) return 'A';
  return (kind & kAlnum) != 0 ? U'a' : c;
}

void write_characters(const std::vector<char32_t>& text, const std::uint8_t* classes, std::uint8_t* out) {
  const auto n = static_cast<int>(std::min<std::size_t>(text.size(), 2 * kHalf));
  std::fill_n(out, kCharacterSlots, kPad);
  out[0] = kBegin;
  for (int i = 0; i < n; ++i) {
    const bool tail = i >= kHalf && text.size() > 2 * kHalf;
    const std::size_t at =
        tail ? text.size() - static_cast<std::size_t>(2 * kHalf - i) : static_cast<std::size_t>(i);
    out[i + 1] = character_id(text[at], classes);
  }
  out[n + 1] = kEnd;
}

void write_affixes(const std::vector<char32_t>& text, const std::uint8_t* classes, std::int32_t* out) {
  const std::size_t n = text.size();
  std::array<Hash, kAffixColumns> hashes = {Hash(0), Hash(1), Hash(2), Hash(3), Hash(4)};
  const std::array<std::size_t, 4> sizes = {3, 3, 4, 4};
  for (std::size_t column = 0; column < 4; ++column) {
    const std::size_t size = std::min(sizes[column], n);
    const std::size_t begin = column % 2 == 0 ? 0 : n - size;
    for (std::size_t i = begin; i < begin + size; ++i) hashes[column].add(to_lower(text[i]));
  }
  char32_t last = kCodePoints, before = kCodePoints;  // no character
  for (const char32_t c : text) {
    const char32_t mark = outline(c, classes);
    if (mark == last && mark == before) continue;
    hashes[4].add(mark);
    before = last;
    last = mark;
  }
  std::int32_t first = 0;
  for (std::size_t column = 0; column < kAffixColumns; ++column) {
    out[column] = first + hashes[column].row(kAffixRows[column]);
    first += kAffixRows[column];
  }
}

}  // namespace

void word_forms(PackedStrings tokens, bool fold, int threads, std::uint8_t* characters,
                std::int32_t* affixes) {
  const std::uint8_t* const classes = character_classes();
  parallel_for(tokens.size, 2048, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<char32_t> text;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::string_view token = tokens[i];
      if (fold && !is_ascii(token)) {
        decode(fold_key(token, false), text);
      } else {
        decode(token, text);
      }
      write_characters(text, classes, characters + i * kCharacterSlots);
      write_affixes(text, classes, affixes + i * kAffixColumns);
    }
  });
}

std::vector<std::int64_t> distinct_strings(PackedStrings strings, std::int32_t* ids) {
  std::vector<std::int64_t> first;
  std::vector<std::uint64_t> hashes;
  std::vector<std::int32_t> slots(1 << 10, -1);
  const auto empty_slot = [&](std::uint64_t h) {
    auto slot = static_cast<std::size_t>(h) & (slots.size() - 1);
    while (slots[slot] >= 0) slot = (slot + 1) & (slots.size() - 1);
    return slot;
  };
  for (std::int64_t i = 0; i < strings.size; ++i) {
    const std::string_view s = strings[i];
    const std::uint64_t h = hash_bytes(s);
    auto slot = static_cast<std::size_t>(h) & (slots.size() - 1);
    for (; slots[slot] >= 0; slot = (slot + 1) & (slots.size() - 1)) {
      const auto k = static_cast<std::size_t>(slots[slot]);
      if (hashes[k] == h && strings[first[k]] == s) break;
    }
    if (slots[slot] < 0) {
      slots[slot] = static_cast<std::int32_t>(first.size());
      first.push_back(i);
      hashes.push_back(h);
      ids[i] = slots[slot];
      if (hashes.size() * 2 > slots.size()) {
        slots.assign(slots.size() * 2, -1);
        for (std::size_t k = 0; k < hashes.size(); ++k)
          slots[empty_slot(hashes[k])] = static_cast<std::int32_t>(k);
      }
    } else {
      ids[i] = slots[slot];
    }
  }
  return first;
}

}  // namespace bioner
