#include "text/articles.h"

#include "text/unicode.h"

namespace bioner {

namespace {

bool is_layout(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool is_white(std::string_view text, std::size_t at) {
  const char* p = text.data() + at;
  return (character_classes()[next_code_point(p, text.data() + text.size())] & kSpace) != 0;
}

}  // namespace

std::string_view strip(std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size() && is_white(text, begin)) {
    do {
      ++begin;
    } while (begin < text.size() && is_continuation(text[begin]));
  }
  std::size_t end = text.size();
  while (end > begin) {
    std::size_t last = end - 1;
    while (last > begin && is_continuation(text[last])) --last;
    if (!is_white(text, last)) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

std::string without_layout(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (!is_layout(text[i])) {
      out += text[i++];
      continue;
    }
    const std::size_t begin = i;
    bool only_spaces = true;
    for (; i < text.size() && is_layout(text[i]); ++i) only_spaces = only_spaces && text[i] == ' ';
    out.append(only_spaces ? text.substr(begin, i - begin) : std::string_view(" "));
  }
  const std::string_view stripped = strip(out);
  return stripped.size() == out.size() ? out : std::string(stripped);
}

void Article::add(std::string text, std::string section, Infons known) {
  if (text.empty()) return;
  std::int64_t offset = 0;
  if (!passages.empty()) {
    const ArticlePassage& last = passages.back();
    offset = last.offset + 1;
    for (const char c : last.text) offset += is_continuation(c) ? 0 : 1;
  }
  passages.push_back({std::move(text), offset, std::move(section), std::move(known)});
}

}  // namespace bioner
