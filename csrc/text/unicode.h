// Character classes, lower case and folding from one pinned version of Unicode, and UTF-8 one code point at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bioner {

// Bits of a character's class.
enum CharacterClass : std::uint8_t {
  kAlnum = 1,   // letters and numbers (general categories L and N)
  kMark = 2,    // combining marks (M)
  kSpace = 4,   // White_Space and U+001C to U+001F: what Python's str.isspace() says
  kUpper = 8,   // Uppercase
  kCased = 16,  // Lowercase or title case
};

inline constexpr char32_t kCodePoints = 0x110000;
inline constexpr char32_t kReplacement = 0xFFFD;

// The version the tables were made from ("15.1.0").
const char* unicode_version();

// Class of every code point, kCodePoints bytes; made on the first call.
const std::uint8_t* character_classes();

// Simple lower case of a code point, itself where there is none.
char32_t to_lower(char32_t c);

// What a lookup key has instead of a character: null if it is kept, else UTF-8 (maybe empty).
struct FoldedCharacter {
  const char* text = nullptr;
  bool capital_name = false;  // spelt out from a capital Greek letter
};
FoldedCharacter fold_character(char32_t c);

// Decodes the code point at p < end and moves p behind it. Malformed input gives U+FFFD for one byte.
inline char32_t next_code_point(const char*& p, const char* end) {
  const auto byte = [&](int i) { return static_cast<unsigned char>(p[i]); };
  const auto follows = [&](int i) { return end - p > i && (byte(i) & 0xC0) == 0x80; };
  const unsigned char c = byte(0);
  if (c < 0x80) {
    ++p;
    return c;
  }
  char32_t value = kReplacement;
  int length = 1;
  if (c >= 0xC2 && c <= 0xDF && follows(1)) {
    value = (c & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
    length = 2;
  } else if (c >= 0xE0 && c <= 0xEF && follows(1) && follows(2)) {
    value = (c & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    length = 3;
  } else if (c >= 0xF0 && c <= 0xF4 && follows(1) && follows(2) && follows(3)) {
    value = (c & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
    length = 4;
  }
  p += length;
  return value < kCodePoints ? value : kReplacement;
}

// Bytes that `c` takes in UTF-8; a surrogate counts as the U+FFFD it becomes.
inline int utf8_length(char32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

// Writes `c` and returns the position behind it. A lone surrogate becomes U+FFFD.
inline char* put_utf8(char32_t c, char* p) {
  if (c < 0x80) {
    *p++ = static_cast<char>(c);
    return p;
  }
  if (c < 0x800) {
    *p++ = static_cast<char>(0xC0 | c >> 6);
  } else {
    if (c >= 0xD800 && c <= 0xDFFF) c = kReplacement;
    if (c < 0x10000) {
      *p++ = static_cast<char>(0xE0 | c >> 12);
    } else {
      *p++ = static_cast<char>(0xF0 | c >> 18);
      *p++ = static_cast<char>(0x80 | (c >> 12 & 0x3F));
    }
    *p++ = static_cast<char>(0x80 | (c >> 6 & 0x3F));
  }
  *p++ = static_cast<char>(0x80 | (c & 0x3F));
  return p;
}

inline void append_utf8(char32_t c, std::string& out) {
  char bytes[4];
  out.append(bytes, static_cast<std::size_t>(put_utf8(c, bytes) - bytes));
}

}  // namespace bioner
