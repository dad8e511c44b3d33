// Rules of the sentence splitter. They decide at stops (. ? ! and the like) that white space follows, from
// the word before, the word behind and the brackets that are open; blank lines, tabs between the cells of a
// table and the lines of a list always end a sentence.
#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

#include "text/sentence_words.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace bioner {

namespace {

bool is_stop(char32_t c) {
  return c == '.' || c == '?' || c == '!' || c == 0x2026 || c == 0x3002 || c == 0xFF01 || c == 0xFF1F;
}
bool is_opener(char32_t c) { return c == '(' || c == '[' || c == '{'; }
bool is_closer(char32_t c) { return c == ')' || c == ']' || c == '}'; }
// Quotes that may close after a stop, and those that may open a sentence.
bool is_quote(char32_t c) { return c == '"' || c == '\'' || c == 0x2019 || c == 0x201D || c == 0xBB; }
bool is_opening_quote(char32_t c) { return c == '"' || c == '\'' || c == 0x2018 || c == 0x201C || c == 0xAB; }
bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_newline(char32_t c) { return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028; }

bool is_bullet(char32_t c) {
  return c == '-' || c == '*' || c == '+' || c == 0xB7 || c == 0x2013 || c == 0x2014 || c == 0x2022 ||
         c == 0x2023 || c == 0x2043 || c == 0x2219 || c == 0x25AA || c == 0x25AB || c == 0x25CB ||
         c == 0x25CF || c == 0x25E6;
}

// A bracket that does not close within so many tokens is taken for a slip.
constexpr std::int64_t kBracketReach = 50;
// A line longer than this belongs to text whose lines are paragraphs, not to text wrapped at some width.
constexpr std::int64_t kWrapped = 120;

// How far a row of a table is looked for its first tab, and a list for its next item (in tokens).
constexpr std::int64_t kRow = 400, kItemReach = 80;
// Lines of text that is wrapped are longer than this.
constexpr std::int64_t kShort = 40;

enum class Next { kLower, kMixed, kUpper, kDigit, kOther };

template <typename Char>
class Splitter {
 public:
  Splitter(const Char* s, std::int64_t n, const TokenSpans& tokens)
      : s_(s), n_(n), tokens_(tokens), count_(tokens.size()), classes_(character_classes()) {}

  void run(std::vector<std::int64_t>& sentence_ends) {
    std::int64_t i = 0;
    while (i < count_) {
      if (i > begin_ && gap(i) != Gap::kNone && ends_part(i)) end_at(i, sentence_ends);
      track_brackets(i);
      if (!is_single(i) || !is_stop(first(i))) {
        ++i;
        continue;
      }
      std::int64_t next = i + 1;
      while (next < count_ && gap(next) == Gap::kNone && closes(next)) track_brackets(next++);
      next = skip_citation(i, next);
      if (next < count_ && gap(next) != Gap::kNone && gap(next) != Gap::kParagraph && !in_brackets(next) &&
          is_boundary(i, next)) {
        end_at(next, sentence_ends);
      }
      i = next;
    }
    if (count_ > begin_) end_at(count_, sentence_ends);
  }

 private:
  Gap gap(std::int64_t i) const { return tokens_.gaps[static_cast<std::size_t>(i)]; }
  std::int64_t start(std::int64_t i) const { return tokens_.starts[static_cast<std::size_t>(i)]; }
  std::int64_t length(std::int64_t i) const { return tokens_.ends[static_cast<std::size_t>(i)] - start(i); }
  char32_t first(std::int64_t i) const { return s_[start(i)]; }
  bool is_single(std::int64_t i) const { return length(i) == 1; }
  bool has(std::int64_t i, int bits) const { return (classes_[first(i)] & bits) != 0; }
  bool is_word(std::int64_t i) const { return has(i, kAlnum); }
  bool is_lower(char32_t c) const { return (classes_[c] & kAlnum) != 0 && (classes_[c] & kCased) != 0; }

  void end_at(std::int64_t i, std::vector<std::int64_t>& sentence_ends) {
    sentence_ends.push_back(i);
    begin_ = i;
    depth_ = 0;
  }

  void track_brackets(std::int64_t i) {
    if (!is_single(i)) return;
    if (is_opener(first(i))) {
      ++depth_;
    } else if (is_closer(first(i)) && depth_ > 0) {
      --depth_;
    }
  }

  // Whether a bracket that is open before token i closes soon.
  bool in_brackets(std::int64_t i) const {
    if (depth_ == 0) return false;
    std::int64_t inner = 0;
    for (const std::int64_t last = std::min(count_, i + kBracketReach); i < last; ++i) {
      if (!is_single(i)) continue;
      if (is_opener(first(i))) ++inner;
      if (is_closer(first(i)) && inner-- == 0) return true;
    }
    return false;
  }

  bool closes(std::int64_t i) const {
    return is_single(i) && (is_stop(first(i)) || is_closer(first(i)) || is_quote(first(i)));
  }

  // "mice.[12,13] The" and "mice.12 The": references set behind the stop belong to the sentence before.
  std::int64_t skip_citation(std::int64_t stop, std::int64_t next) const {
    if (next >= count_ || gap(next) != Gap::kNone || stop == begin_ || !is_long_word(stop - 1)) return next;
    const bool bracket = first(next) == '[';
    std::int64_t i = bracket ? next + 1 : next;
    if (i >= count_ || !is_digit(first(i))) return next;
    while (i < count_ && (i == next || gap(i) == Gap::kNone || bracket) && is_reference_part(i)) ++i;
    if (bracket) {
      if (i >= count_ || first(i) != ']') return next;
      ++i;
    }
    return i < count_ && gap(i) != Gap::kNone && has(i, kUpper) ? i : next;
  }

  bool is_reference_part(std::int64_t i) const {
    const char32_t c = first(i);
    if (!is_digit(c)) return is_single(i) && (c == ',' || c == '-' || c == 0x2013);
    for (std::int64_t j = start(i); j < start(i) + length(i); ++j) {
      if (!is_digit(s_[j])) return false;
    }
    return length(i) <= 3;
  }

  // Three letters or more, none of them a capital behind the first.
  bool is_long_word(std::int64_t i) const {
    if (length(i) < 3 || !is_word(i)) return false;
    for (std::int64_t j = start(i) + 1; j < start(i) + length(i); ++j) {
      if (!is_lower(s_[j])) return false;
    }
    return true;
  }

  // Whether the token is one of `words` (ASCII, sorted).
  template <std::size_t N>
  bool is_one_of(std::int64_t i, const std::array<std::string_view, N>& words) const {
    char text[16];
    if (length(i) > 16) return false;
    const auto n = static_cast<std::size_t>(length(i));
    for (std::size_t j = 0; j < n; ++j) {
      const char32_t c = s_[start(i) + static_cast<std::int64_t>(j)];
      if (c >= 0x80) return false;
      text[j] = static_cast<char>(c);
    }
    return std::binary_search(words.begin(), words.end(), std::string_view(text, n));
  }

  Next kind_of(std::int64_t i) const {
    if (is_digit(first(i))) return Next::kDigit;
    if (has(i, kUpper)) return Next::kUpper;
    if (!is_lower(first(i))) return Next::kOther;
    for (std::int64_t j = start(i) + 1; j < start(i) + length(i); ++j) {
      if (is_digit(s_[j]) || (classes_[s_[j]] & kUpper) != 0) return Next::kMixed;  // p53, mRNA
    }
    return Next::kLower;
  }

  // The word that opens the next sentence: behind quotes and brackets. count_ if there is none.
  std::int64_t opening_word(std::int64_t i) const {
    while (i < count_ && is_single(i) && (is_opener(first(i)) || is_opening_quote(first(i)))) ++i;
    return i;
  }

  bool is_boundary(std::int64_t stop, std::int64_t next) const {
    const std::int64_t word = opening_word(next);
    if (word >= count_) return true;
    const Next kind = kind_of(word);
    if (first(stop) != '.' || closes_with_other_stop(stop, next)) return kind != Next::kLower;
    if (stop + 1 < count_ && is_single(stop + 1) && first(stop + 1) == '.')
      return kind == Next::kUpper;  // "..."
    if (stop == begin_ || gap(stop) != Gap::kNone) return kind != Next::kLower;
    const std::int64_t last = stop - 1;
    if (!is_word(last) || is_closed(stop, next)) return kind != Next::kLower;  // "95%. The", "(i.p.). The"
    if (is_item(next) && is_long_word(last)) return true;
    const bool starter = starts_sentence(word);
    if (is_one_of(last, kBeforeNumber)) return kind == Next::kUpper && starter;  // Fig. 2, No. 5
    if (follows_stop(last)) return after_dotted(last, kind, starter);
    if (is_one_of(last, kNotLast) && !is_unit(last)) {
      return starter && kind == Next::kUpper && !is_one_of(last, kNeverEnds);
    }
    if (is_single(last) && has(last, kUpper)) return after_initial(last, word, kind, starter);
    if (is_numbering(last) || is_split_decimal(last, word)) return false;
    if (kind == Next::kLower) return is_prefix(word) && is_long_word(last);
    return kind != Next::kMixed || length(last) > 1;
  }

  bool closes_with_other_stop(std::int64_t stop, std::int64_t next) const {
    for (std::int64_t i = stop + 1; i < next; ++i) {
      if (is_single(i) && is_stop(first(i)) && first(i) != '.') return true;
    }
    return false;
  }

  // ".)." and the like: the stop that counts is the last one.
  bool is_closed(std::int64_t stop, std::int64_t next) const {
    for (std::int64_t i = stop + 1; i + 1 < next; ++i) {
      if (is_closer(first(i)) && first(i + 1) == '.') return true;
    }
    return false;
  }

  // "(b) Extension", "(ii) as"
  bool is_item(std::int64_t i) const {
    return i + 2 < count_ && first(i) == '(' && length(i + 1) <= 3 && is_word(i + 1) &&
           gap(i + 2) == Gap::kNone && first(i + 2) == ')';
  }

  // A word that commonly starts a sentence, or a heading ("RESULTS:"); no initial ("A. Smith").
  bool starts_sentence(std::int64_t word) const {
    const char32_t behind = word + 1 < count_ && gap(word + 1) == Gap::kNone ? first(word + 1) : U' ';
    if (is_one_of(word, kStarters)) return !(is_single(word) && behind == '.');
    return behind == ':' && length(word) > 3 && has(word, kUpper);
  }

  // The last letters of an abbreviation with stops in it.
  bool follows_stop(std::int64_t last) const {
    return last >= begin_ + 2 && !is_digit(first(last)) && length(last) <= 2 && gap(last) == Gap::kNone &&
           first(last - 1) == '.' && is_single(last - 1) && gap(last - 1) == Gap::kNone &&
           length(last - 2) <= 2;
  }

  // e.g. and i.e. never end a sentence; U.S. seldom does, i.p. and b.i.d. often do.
  bool after_dotted(std::int64_t last, Next kind, bool starter) const {
    if (is_one_of(last, kNeverLast)) return false;
    return has(last, kUpper) ? starter : kind == Next::kUpper;
  }

  // "5 g. Mice": letters that abbreviate other things are units behind a number.
  bool is_unit(std::int64_t last) const {
    return last > begin_ && length(last) <= 2 && is_digit(first(last - 1)) && gap(last) == Gap::kSpace;
  }

  // A capital before the stop: an initial ("J. Smith"), a genus ("E. coli") or the end ("vitamin A. The").
  bool after_initial(std::int64_t last, std::int64_t word, Next kind, bool starter) const {
    if (kind == Next::kLower || kind == Next::kMixed) return false;
    if (starter) return true;
    if (last == begin_) return false;
    if (gap(last) == Gap::kNone && first(last - 1) == '-') return true;  // "HLA-F. Alternatively"
    if (kind != Next::kUpper) return true;
    if (is_single(word)) return false;  // more initials
    // A name behind an initial follows a name, another initial, or nothing.
    return is_long_word(last - 1) && !has(last - 1, kUpper) && !is_one_of(last - 1, kBeforeName);
  }

  // "P < 0. 05": a slip of the writer, no sentence.
  bool is_split_decimal(std::int64_t last, std::int64_t word) const {
    if (last <= begin_ || !is_digit(first(last)) || !is_digit(first(word))) return false;
    const char32_t c = first(last - 1);
    return is_single(last - 1) && (c == '<' || c == '>' || c == '=');
  }

  // "c-myc", "beta-Glucuronidase": names that keep their small letter at the start of a sentence.
  bool is_prefix(std::int64_t word) const {
    return length(word) <= 6 && word + 2 < count_ && gap(word + 1) == Gap::kNone && first(word + 1) == '-' &&
           gap(word + 2) == Gap::kNone && is_word(word + 2);
  }

  // "1. Introduction" at the start of a sentence.
  bool is_numbering(std::int64_t last) const {
    return last == begin_ && length(last) <= 2 && is_digit(first(last));
  }

  // Whether the white space before token i parts paragraphs, cells or rows of a table, or items of a list.
  bool ends_part(std::int64_t i) const {
    if (gap(i) == Gap::kSpace) return has_tab(tokens_.ends[static_cast<std::size_t>(i - 1)], start(i));
    if (gap(i) == Gap::kParagraph) return true;
    const std::int64_t at = line_start(start(i));
    std::int64_t end = at;
    while (end > 0 && is_newline(s_[end - 1])) --end;
    if (is_row(start(i)) || is_row(line_start(end)) || starts_item(i) || line_ends_paragraph(i)) return true;
    return lists_names(at) || (!is_lower(first(i)) && follows_item(i));
  }

  bool has_tab(std::int64_t from, std::int64_t to) const {
    for (; from < to; ++from) {
      if (s_[from] == '\t') return true;
    }
    return false;
  }

  std::int64_t line_start(std::int64_t at) const {
    while (at > 0 && !is_newline(s_[at - 1])) --at;
    return at;
  }

  // Whether a tab parts words of the line that goes on at `at`; those it begins with are an indent.
  bool is_row(std::int64_t at) const {
    while (at < n_ && (s_[at] == ' ' || s_[at] == '\t')) ++at;
    bool tab = false;
    for (std::int64_t j = at; j < n_ && j - at <= kRow && !is_newline(s_[j]); ++j) {
      if (s_[j] == '\t') {
        tab = true;
      } else if (tab && s_[j] != ' ') {
        return true;
      }
    }
    return false;
  }

  // Whether the line that begins with token i is an item of a list: a bullet, or a number where the line
  // before or behind has one too, as wrapped text may begin a line with "2." by chance.
  bool starts_item(std::int64_t i) const {
    if (i + 1 >= count_) return false;
    if (is_single(i) && is_bullet(first(i))) return gap(i + 1) == Gap::kSpace;
    if (!is_numbered(i)) return false;
    for (std::int64_t j = i + 1; j < count_ && j <= i + kItemReach; ++j) {
      if (gap(j) != Gap::kLine && gap(j) != Gap::kParagraph) continue;
      if (is_numbered(j)) return true;
      break;
    }
    for (std::int64_t j = i - 1; j >= 0 && j >= i - kItemReach; --j) {
      if (j > 0 && gap(j) != Gap::kLine && gap(j) != Gap::kParagraph) continue;
      return is_numbered(j);
    }
    return false;
  }

  // Whether the line before token i, which begins one, is an item.
  bool follows_item(std::int64_t i) const {
    for (std::int64_t j = i - 1; j >= 0 && j >= i - kItemReach; --j) {
      if (j == 0 || gap(j) == Gap::kLine || gap(j) == Gap::kParagraph) return starts_item(j);
    }
    return false;
  }

  // Whether the line that begins at `at` is one of three or more that are names one below another: very
  // short, or short and none of them going on with a small letter.
  bool lists_names(std::int64_t at) const {
    const Line here = line_at(at), before = line_before(at);
    if (!here.is_short || !before.is_short) return false;
    for (const Line other : {line_before(before.start), line_behind(here.end)}) {
      if (!other.is_short) continue;
      if (here.is_name && before.is_name && other.is_name) return true;
      if (here.is_tiny && before.is_tiny && other.is_tiny) return true;
    }
    return false;
  }

  struct Line {
    std::int64_t start = 0, end = 0;
    bool is_short = false, is_tiny = false, is_name = false;
  };

  Line line_at(std::int64_t at) const {
    Line line{.start = at, .end = at};
    while (line.end < n_ && line.end - at <= kShort && !is_newline(s_[line.end])) ++line.end;
    std::int64_t word = at;
    while (word < line.end && (s_[word] == ' ' || s_[word] == '\t')) ++word;
    std::int64_t last = line.end;
    while (last > word && (s_[last - 1] == ' ' || s_[last - 1] == '\t')) --last;
    line.is_short = word < last && line.end - at <= kShort && !is_stop(s_[last - 1]);
    line.is_tiny = line.is_short && line.end - at <= kShort / 2;
    line.is_name = line.is_short && !is_lower(s_[word]);
    return line;
  }
  Line line_before(std::int64_t at) const {
    if (at == 0) return {};
    std::int64_t end = at - 1;
    if (end > 0 && s_[end] == '\n' && s_[end - 1] == '\r') --end;
    std::int64_t from = end;
    while (from > 0 && end - from <= kShort && !is_newline(s_[from - 1])) --from;
    return from == end || end - from > kShort ? Line{} : line_at(from);
  }
  Line line_behind(std::int64_t end) const {
    if (end + 1 < n_ && s_[end] == '\r' && s_[end + 1] == '\n') ++end;
    return end + 1 < n_ ? line_at(end + 1) : Line{};
  }

  // "1." "12)" "(3)" "a)" "iv." before a space.
  bool is_numbered(std::int64_t i) const {
    const bool bracket = is_single(i) && first(i) == '(';
    const std::int64_t number = bracket ? i + 1 : i, mark = number + 1;
    if (mark + 1 >= count_ || (bracket && gap(number) != Gap::kNone) || !is_word(number)) return false;
    if (gap(mark) != Gap::kNone || !is_single(mark) || gap(mark + 1) != Gap::kSpace) return false;
    if (first(mark) != ')' && (bracket || first(mark) != '.')) return false;
    if (length(number) > 4) return false;
    bool digits = true, roman = true;
    for (std::int64_t j = start(number); j < start(number) + length(number); ++j) {
      digits = digits && is_digit(s_[j]);
      roman = roman &&
              (s_[j] == 'i' || s_[j] == 'v' || s_[j] == 'x' || s_[j] == 'I' || s_[j] == 'V' || s_[j] == 'X');
    }
    return digits || roman || length(number) == 1;
  }

  // Whether the line end before token i ends a paragraph: it does where lines are not wrapped.
  bool line_ends_paragraph(std::int64_t i) const {
    if (is_lower(first(i))) return false;
    std::int64_t at = start(i);
    while (at > 0 && !is_newline(s_[at - 1])) --at;
    std::int64_t behind = start(i);
    while (behind < n_ && behind - start(i) <= kWrapped && !is_newline(s_[behind])) ++behind;
    if (behind - start(i) > kWrapped) return true;
    std::int64_t end = at;
    while (end > 0 && is_newline(s_[end - 1])) --end;
    std::int64_t before = end;
    while (before > 0 && end - before <= kWrapped && !is_newline(s_[before - 1])) --before;
    return end - before > kWrapped;
  }

  const Char* s_;
  std::int64_t n_;
  const TokenSpans& tokens_;
  std::int64_t count_;
  const std::uint8_t* classes_;
  std::int64_t begin_ = 0;
  std::int64_t depth_ = 0;
};

}  // namespace

void split_sentences(TextView text, const TokenSpans& tokens, std::vector<std::int64_t>& sentence_ends) {
  switch (text.width) {
    case 1:
      return Splitter(static_cast<const std::uint8_t*>(text.data), text.size, tokens).run(sentence_ends);
    case 2:
      return Splitter(static_cast<const std::uint16_t*>(text.data), text.size, tokens).run(sentence_ends);
    default:
      return Splitter(static_cast<const std::uint32_t*>(text.data), text.size, tokens).run(sentence_ends);
  }
}

}  // namespace bioner
