#include "text/abbreviations.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "text/hash_index.h"
#include "text/unicode.h"

namespace bioner {

namespace {

// A character of a stretch of text as it is compared: in lower case, and of what folding spells out the first
// character ("α" is "a"). `token`: which token it is of; `first`: whether that begins with it.
struct Letter {
  char32_t c = 0;
  std::int64_t token = 0;
  bool first = false;
};

bool is_alnum(char32_t c) { return (character_classes()[c] & kAlnum) != 0; }
bool is_cased(char32_t c) { return (character_classes()[c] & (kUpper | kCased)) != 0; }

// Longest short form, and most tokens between brackets that are looked at.
constexpr std::int64_t kLongestShort = 10;
constexpr std::int64_t kMostInside = 60;

class Finder {
 public:
  Finder(const TokenText& text, std::vector<Abbreviation>& found) : text_(text), found_(found) {}

  void sentence(std::int64_t begin, std::int64_t end) {
    for (std::int64_t open = begin; open < end; ++open) {
      if (!is(open, "(") && !is(open, "[")) continue;
      const std::int64_t close = closing(open, end);
      if (close < 0) continue;
      // "(SF, see there)": what counts ends at a comma or semicolon before white space.
      std::int64_t last = open + 1;
      while (last < close && !((is(last, ",") || is(last, ";")) && gap(last + 1))) ++last;
      if (short_form(open + 1, last)) {
        define(open + 1, last, begin, open);
      } else if (open > begin && gap(open)) {
        std::int64_t first = open - 1;
        while (first > begin && !gap(first)) --first;
        // The brackets hold the long form of the word before them.
        if (words(open + 1, close) > 1 && short_form(first, open)) {
          define(first, open, open + 1, close, /*whole=*/true);
        }
      }
    }
  }

 private:
  bool is(std::int64_t i, std::string_view s) const { return text_.tokens[i] == s; }
  // Whether white space stands before token i.
  bool gap(std::int64_t i) const { return text_.starts[i] != text_.ends[i - 1]; }

  std::int64_t closing(std::int64_t open, std::int64_t end) const {
    const bool round = is(open, "(");
    int depth = 0;
    for (std::int64_t i = open; i < std::min(end, open + kMostInside); ++i) {
      if (is(i, round ? "(" : "[")) ++depth;
      if (is(i, round ? ")" : "]") && --depth == 0) return i;
    }
    return -1;
  }

  std::int64_t words(std::int64_t begin, std::int64_t end) const {
    std::int64_t n = begin < end ? 1 : 0;
    for (std::int64_t i = begin + 1; i < end; ++i) n += gap(i) ? 1 : 0;
    return n;
  }

  // At most two words and ten characters, at least two; it begins with a letter or number and has a letter,
  // and no brackets.
  bool short_form(std::int64_t begin, std::int64_t end) const {
    if (begin >= end || words(begin, end) > 2) return false;
    const std::int64_t length = text_.ends[end - 1] - text_.starts[begin];
    if (length < 2 || length > kLongestShort) return false;
    bool letter = false;
    for (std::int64_t i = begin; i < end; ++i) {
      if (is(i, "(") || is(i, ")") || is(i, "[") || is(i, "]")) return false;
      const std::string_view s = text_.tokens[i];
      const char* p = s.data();
      const char* const stop = p + s.size();
      while (p < stop) {
        const char32_t c = next_code_point(p, stop);
        if (i == begin && p - s.data() <= 4 && !letter && !is_alnum(c)) return false;
        letter = letter || is_cased(c);
        if (i == begin && !is_alnum(c)) break;
      }
    }
    return letter;
  }

  void letters(std::int64_t begin, std::int64_t end, std::vector<Letter>& out) const {
    out.clear();
    for (std::int64_t i = begin; i < end; ++i) {
      const std::string_view s = text_.tokens[i];
      const char* p = s.data();
      const char* const stop = p + s.size();
      bool first = true;
      while (p < stop) {
        char32_t c = next_code_point(p, stop);
        if (const FoldedCharacter folded = fold_character(c); folded.text != nullptr) {
          const std::string_view spelt = folded.text;
          if (spelt.empty()) continue;
          const char* q = spelt.data();
          c = next_code_point(q, spelt.data() + spelt.size());
        }
        c = to_lower(c);
        if (is_alnum(c)) out.push_back({c, i, first});
        first = false;
      }
    }
  }

  // Looks for the long form of tokens [short_start, short_end) in [begin, end), from its end; `whole`: it has
  // to be all of that.
  void define(std::int64_t short_start, std::int64_t short_end, std::int64_t begin, std::int64_t end,
              bool whole = false) {
    letters(short_start, short_end, short_);
    if (short_.empty() || begin >= end) return;
    const auto size = static_cast<std::int64_t>(short_.size());
    const std::int64_t most = std::min(size + 5, size * 2);
    // The words before the brackets, and their letters.
    std::int64_t from = end - 1;
    for (std::int64_t n = 0; from > begin; --from) {
      if (gap(from) && ++n == most) break;
    }
    if (whole && from > begin) return;
    letters(from, end, long_);
    auto at = static_cast<std::int64_t>(long_.size()) - 1;
    for (std::int64_t s = size - 1; s >= 0; --s, --at) {
      const char32_t c = short_[static_cast<std::size_t>(s)].c;
      while (at >= 0 && !(long_[static_cast<std::size_t>(at)].c == c &&
                          (s > 0 || long_[static_cast<std::size_t>(at)].first))) {
        --at;
      }
      if (at < 0) return;
    }
    std::int64_t first = long_[static_cast<std::size_t>(at + 1)].token;
    while (first > from && !gap(first) && !is(first - 1, "(") && !is(first - 1, "[")) --first;
    if (whole && first != begin) return;
    const auto length = text_.ends[end - 1] - text_.starts[first];
    if (length <= text_.ends[short_end - 1] - text_.starts[short_start] || !balanced(first, end)) return;
    // A long form that has the short one among its words explains nothing.
    if (short_end - short_start == 1) {
      for (std::int64_t i = first; i < end; ++i) {
        if (text_.tokens[i] == text_.tokens[short_start]) return;
      }
    }
    found_.push_back({short_start, short_end, first, end});
  }

  bool balanced(std::int64_t begin, std::int64_t end) const {
    int depth = 0;
    for (std::int64_t i = begin; i < end && depth >= 0; ++i) {
      if (is(i, "(") || is(i, "[")) ++depth;
      if (is(i, ")") || is(i, "]")) --depth;
    }
    return depth == 0;
  }

  const TokenText& text_;
  std::vector<Abbreviation>& found_;
  std::vector<Letter> short_, long_;
};

// What is compared of a token: of a word with a capital that it may owe to its place, the word without it.
std::uint64_t key_of(std::string_view token, std::string& buffer) {
  if (token.size() >= 4 && token[0] >= 'A' && token[0] <= 'Z' &&
      std::all_of(token.begin() + 1, token.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
    buffer.assign(token);
    buffer[0] = static_cast<char>(buffer[0] - 'A' + 'a');
    return hash_bytes(buffer);
  }
  return hash_bytes(token);
}

}  // namespace

void find_abbreviations(const TokenText& text, const std::int64_t* sentences, std::int64_t n_sentences,
                        std::vector<Abbreviation>& found) {
  Finder finder(text, found);
  for (std::int64_t s = 0; s < n_sentences; ++s) finder.sentence(sentences[s], sentences[s + 1]);
}

void find_repeats(PackedStrings tokens, const std::int64_t* documents, std::int64_t n_documents,
                  const std::int64_t* name_starts, const std::int64_t* name_ends, std::int64_t n_names,
                  Repeats& repeats) {
  std::string buffer;
  std::vector<std::uint64_t> keys;
  std::int64_t name = 0, groups = 0;
  repeats.group.assign(static_cast<std::size_t>(n_names), 0);
  // Groups of the document by the key of their first token: (a name of it, group).
  std::unordered_map<std::uint64_t, std::vector<std::pair<std::int64_t, std::int64_t>>> by_first;
  for (std::int64_t d = 0; d < n_documents; ++d) {
    const std::int64_t begin = documents[d], end = documents[d + 1];
    const std::int64_t first_name = name;
    while (name < n_names && name_starts[name] < end) ++name;
    if (name == first_name) continue;
    keys.clear();
    for (std::int64_t i = begin; i < end; ++i) keys.push_back(key_of(tokens[i], buffer));
    // 64 bits of every token: two names of one document are taken for the same if all of them agree.
    const auto key = [&](std::int64_t i) { return keys[static_cast<std::size_t>(i - begin)]; };
    const auto same = [&](std::int64_t a, std::int64_t b, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) {
        if (key(a + i) != key(b + i)) return false;
      }
      return true;
    };
    by_first.clear();
    for (std::int64_t m = first_name; m < name; ++m) {
      const std::int64_t size = name_ends[m] - name_starts[m];
      std::int64_t group = -1;
      if (size <= kLongestName) {
        auto& list = by_first[key(name_starts[m])];
        for (const auto& [other, its] : list) {
          if (name_ends[other] - name_starts[other] == size &&
              same(name_starts[other], name_starts[m], size)) {
            group = its;
            break;
          }
        }
        if (group < 0) list.emplace_back(m, groups);
      }
      repeats.group[static_cast<std::size_t>(m)] = group < 0 ? groups++ : group;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const auto list = by_first.find(key(i));
      if (list == by_first.end()) continue;
      for (const auto& [m, group] : list->second) {
        const std::int64_t size = name_ends[m] - name_starts[m];
        if (i + size <= end && same(name_starts[m], i, size)) {
          repeats.starts.push_back(i);
          repeats.ends.push_back(i + size);
          repeats.occurrence_group.push_back(group);
        }
      }
    }
  }
}

}  // namespace bioner
