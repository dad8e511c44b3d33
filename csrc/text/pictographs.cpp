#include "text/pictographs.h"

#include <algorithm>

#include "text/unicode.h"

namespace bioner {

namespace {

struct Range {
  char32_t first, last;
};

// Whole blocks where they hold no letters, numbers or arrows, so that later emoji of theirs are among them.
constexpr Range kPictographs[] = {
    {0x231A, 0x231B}, {0x2328, 0x2328},   {0x23CF, 0x23CF},   {0x23E9, 0x23FA},   {0x2600, 0x2775},
    {0x2795, 0x2797}, {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},
    {0x2B55, 0x2B55}, {0x1F000, 0x1F0FF}, {0x1F10D, 0x1F77F}, {0x1F7D5, 0x1F7FF}, {0x1F900, 0x1FAFF},
};
// Zero-width joiner, combining enclosing keycap, variation selectors, tags.
constexpr Range kJoiners[] = {{0x200D, 0x200D}, {0x20E3, 0x20E3}, {0xFE0E, 0xFE0F}, {0xE0020, 0xE007F}};

template <std::size_t kSize>
bool within(const Range (&ranges)[kSize], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](Range range) { return range.first <= c && c <= range.last; });
}

}  // namespace

void find_pictographs(PackedStrings tokens, std::uint8_t* found) {
  const std::uint8_t* const classes = character_classes();
  for (std::int64_t i = 0; i < tokens.size; ++i) {
    const std::string_view token = tokens[i];
    found[i] = 0;
    // Nearly every token: the smallest character meant here begins with this byte.
    if (token.empty() || static_cast<unsigned char>(token.front()) < 0xE2) continue;
    bool only = true, picture = i > 0 && found[i - 1] != 0;
    const char* p = token.data();
    const char* const end = p + token.size();
    while (p < end && only) {
      const char32_t c = next_code_point(p, end);
      const bool one = within(kPictographs, c) && (classes[c] & kAlnum) == 0;
      picture = picture || one;
      only = one || within(kJoiners, c);
    }
    found[i] = only && picture ? 1 : 0;
  }
}

}  // namespace bioner
