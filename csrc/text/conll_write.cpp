#include <algorithm>
#include <cstring>

#include "text/conll.h"
#include "text/conll_marks.h"
#include "text/delimiters.h"
#include "text/text_error.h"

namespace bioner {

namespace {

constexpr std::string_view kDocumentMarker = "-DOCSTART-";

bool writable(std::string_view field) {
  return !field.empty() && std::none_of(field.begin(), field.end(), [](char c) {
    return c == '\0' || is_delimiter(static_cast<unsigned char>(c));
  });
}

bool writable_token(std::string_view token, bool has_labels) {
  if (!writable(token)) {
    // Beside a label the file has tabs, which alone separate.
    const auto is_other = [](char c) {
      return c == '\0' || (c != ' ' && is_delimiter(static_cast<unsigned char>(c)));
    };
    if (!has_labels || token.empty() || token.front() == ' ' || token.back() == ' ' || token.front() == '#' ||
        std::any_of(token.begin(), token.end(), is_other)) {
      return false;
    }
  }
  return conll::read_mark(token, true).kind == conll::Mark::Kind::kNone;
}

}  // namespace

std::string write_conll(const ConllWriteInput& in) {
  const auto* text = reinterpret_cast<const char*>(in.text);
  for (const std::vector<std::string>& names : in.label_names) {
    for (const std::string& name : names) {
      if (!writable(name))
        throw TextError(0, "the tag " + quoted(name) + " is empty or contains white space");
    }
  }
  std::string out;
  const auto bytes = static_cast<std::size_t>(in.n_tokens == 0 ? 0 : in.offsets[in.n_tokens] - in.offsets[0]);
  out.reserve(bytes + static_cast<std::size_t>(in.n_tokens) * (1 + 4 * in.label_ids.size()) +
              static_cast<std::size_t>(in.n_sentences));
  std::int64_t document = 0;
  for (std::int64_t s = 0; s < in.n_sentences; ++s) {
    const bool first_line = out.empty();
    if (!first_line) out += '\n';
    // Documents without sentences are written too: their ids must come back.
    for (; document < in.n_documents && in.document_offsets[document] <= s; ++document) {
      const std::string& id = in.document_ids[static_cast<std::size_t>(document)];
      (out += kDocumentMarker) += '\t';
      (out += id.empty() ? "O" : id) += "\n\n";
    }
    for (std::int64_t i = in.sentence_offsets[s]; i < in.sentence_offsets[s + 1]; ++i) {
      const std::string_view token(text + in.offsets[i],
                                   static_cast<std::size_t>(in.offsets[i + 1] - in.offsets[i]));
      if (!writable_token(token, !in.label_ids.empty())) {
        throw TextError(
            0,
            "token " + std::to_string(i) + " (" + quoted(token) +
                ") is empty, contains white space or is the document marker: a column file cannot hold it");
      }
      out += token;
      for (std::size_t k = 0; k < in.label_ids.size(); ++k) {
        out += '\t';
        out += in.label_names[k][static_cast<std::size_t>(in.label_ids[k][i])];
      }
      out += '\n';
    }
  }
  for (; document < in.n_documents; ++document) {
    const std::string& id = in.document_ids[static_cast<std::size_t>(document)];
    if (!out.empty()) out += '\n';
    (out += kDocumentMarker) += '\t';
    (out += id.empty() ? "O" : id) += '\n';
  }
  return out;
}

}  // namespace bioner
