#include "text/conll_marks.h"

#include <algorithm>
#include <array>

namespace bioner::conll {

namespace {

constexpr std::string_view kSpace = " \t\r\n";
// What stands on a -DOCSTART- line to keep columns aligned.
constexpr std::array<std::string_view, 6> kFillers = {"O", "-X-", "X-O", "-", "_", "-DOCSTART-"};
// Names of documents, lower-case letters only: "doc_id", "Doc-ID" and "doc id" are all "docid".
constexpr std::array<std::string_view, 17> kNames = {
    "docid",  "doc",     "document",   "documentid", "docname",     "docno",
    "docidx", "medline", "medlineid",  "pmid",       "pubmed",      "pubmedid",
    "pmcid",  "pmc",     "abstractid", "articleid",  "documentname"};
constexpr std::size_t kLongestName = 24;
constexpr std::string_view kBegin = "begin document";
constexpr std::string_view kEnd = "end document";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }

bool starts_with(std::string_view text, std::string_view small) {
  return text.size() >= small.size() &&
         std::equal(small.begin(), small.end(), text.begin(), [](char a, char b) { return a == lower(b); });
}

// The letters of a name, in lower case; "" for what is none.
std::string name_of(std::string_view text) {
  std::string name;
  for (const char c : trimmed(text)) {
    if (is_letter(c)) {
      name += lower(c);
    } else if (c != '_' && c != '-' && c != '.' && c != ' ') {
      return {};
    }
    if (name.size() > kLongestName) return {};
  }
  return name;
}

// The id on a document marker: all but the fillers at both ends.
std::string without_fillers(std::string_view rest) {
  const auto is_filler = [](std::string_view value) {
    return std::find(kFillers.begin(), kFillers.end(), value) != kFillers.end();
  };
  rest = trimmed(rest);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of(kSpace), rest.size());
    if (!is_filler(rest.substr(0, end))) break;
    rest = trimmed(rest.substr(end));
  }
  while (!rest.empty()) {
    const std::size_t at = rest.find_last_of(kSpace);
    if (at == std::string_view::npos || !is_filler(rest.substr(at + 1))) break;
    rest = trimmed(rest.substr(0, at));
  }
  return std::string(rest);
}

// -DOCSTART-, in any case, also --DOCSTART-- and -DOCSTART-(12).
Mark docstart(std::string_view line) {
  std::size_t at = 0;
  while (at < 2 && at < line.size() && line[at] == '-') ++at;
  constexpr std::string_view kWord = "docstart-";
  if (!starts_with(line.substr(at), kWord)) return {};
  std::string_view rest = line.substr(at + kWord.size());
  if (at == 2 && !rest.empty() && rest[0] == '-') rest = rest.substr(1);
  if (!rest.empty() && (is_letter(rest[0]) || static_cast<unsigned char>(rest[0]) >= 0x80)) return {};
  return {Mark::Kind::kStart, without_fillers(rest)};
}

// What a comment says of documents.
Mark document_comment(std::string_view text) {
  if (starts_with(text, kBegin)) {
    std::string_view id = trimmed(text.substr(kBegin.size()));
    if (!id.empty() && id[0] == '(' && id.find(')') != std::string_view::npos) {
      id = id.substr(1, id.find(')') - 1);
    }
    return {Mark::Kind::kStart, std::string(trimmed(id))};
  }
  if (starts_with(text, kEnd)) return {Mark::Kind::kEnd, {}};
  const std::size_t at = text.find_first_of("=:\t");
  const std::string name = name_of(text.substr(0, at));
  if (at == std::string_view::npos || text[at] == '\t') {
    if (name == "newdoc") return {Mark::Kind::kStart, {}};
    return {Mark::Kind::kComment, {}};
  }
  const std::string_view value = trimmed(text.substr(at + 1));
  std::string id(trimmed(value.substr(0, value.find('\t'))));
  if (name == "newdoc" || name == "newdocid") return {Mark::Kind::kStart, std::move(id)};
  if (!id.empty() && std::find(kNames.begin(), kNames.end(), name) != kNames.end()) {
    return {Mark::Kind::kName, std::move(id)};
  }
  return {Mark::Kind::kComment, {}};
}

}  // namespace

Mark read_mark(std::string_view line, bool has_columns) {
  line = trimmed(line);
  if (line.empty()) return {};
  if (line[0] == '-') return docstart(line);
  if (line[0] != '#') return {};
  const std::size_t hashes = std::min(line.find_first_not_of('#'), line.size());
  const std::string_view text = trimmed(line.substr(hashes));
  // "#doc:5" with the columns of a token is one; "# doc: 5" and "##doc:5" are not.
  const bool may_be_token = has_columns && hashes == 1 && line.size() > 1 && line[1] != ' ' &&
                            !starts_with(text, kBegin) && !starts_with(text, kEnd);
  Mark mark{Mark::Kind::kComment, {}};
  if (!may_be_token) mark = document_comment(text);
  if (mark.kind == Mark::Kind::kComment && has_columns) return {};
  return mark;
}

bool may_begin_columns(std::string_view line) {
  line = trimmed(line);
  if (line.empty() || line[0] != '#') return true;
  const std::size_t at = line.find_first_of(kSpace);
  return at != std::string_view::npos && line[at] == '\t';
}

}  // namespace bioner::conll
