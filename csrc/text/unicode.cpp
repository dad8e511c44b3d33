#include "text/unicode.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace bioner {

namespace {

struct ClassRange {
  char32_t first, last;
  std::uint8_t value;
};
struct CasePair {
  char32_t from, to;
};
struct Fold {
  char32_t code;
  const char* text;
  bool capital_name;
};

#include "text/fold_tables.inc"
#include "text/unicode_tables.inc"

}  // namespace

const char* unicode_version() { return kUnicodeVersion; }

const std::uint8_t* character_classes() {
  // A flat table costs a megabyte and one load per character; a text touches few of its cache lines.
  static const std::vector<std::uint8_t> table = [] {
    std::vector<std::uint8_t> t(kCodePoints, 0);
    for (const ClassRange& range : kClassRanges) {
      std::fill(t.begin() + range.first, t.begin() + range.last + 1, range.value);
    }
    return t;
  }();
  return table.data();
}

char32_t to_lower(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
  const CasePair* found =
      std::lower_bound(std::begin(kLowerCase), std::end(kLowerCase), c,
                       [](const CasePair& pair, char32_t code) { return pair.from < code; });
  return found != std::end(kLowerCase) && found->from == c ? found->to : c;
}

FoldedCharacter fold_character(char32_t c) {
  if (c < 0x80) return {};
  const Fold* found = std::lower_bound(std::begin(kFolds), std::end(kFolds), c,
                                       [](const Fold& fold, char32_t code) { return fold.code < code; });
  if (found == std::end(kFolds) || found->code != c) return {};
  return {found->text, found->capital_name};
}

}  // namespace bioner
