// Column files: one token a line, a blank line between sentences. Fields are separated by tabs alone if the
// first line with a token has one, else by tabs and spaces. Lines that begin with # are comments unless they
// have the columns of a token; conll_marks.h says which of them begin documents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/large_array.h"

namespace bioner {

struct ConllOptions {
  std::int64_t token_column = 0;            // negative: from the right
  std::vector<std::int64_t> label_columns;  // negative: from the right; may be empty
  std::int64_t min_columns = 2;             // fewer are an error
};

struct LabelColumn {
  LargeArray<std::int32_t> ids;    // [n_tokens], indices into names
  std::vector<std::string> names;  // by first appearance
};

struct ConllTable {
  std::int64_t n_tokens = 0;
  LargeArray<std::uint8_t> text;               // [offsets[n_tokens]], the tokens one after another
  LargeArray<std::int64_t> offsets;            // [n_tokens + 1]
  std::vector<LabelColumn> labels;             // as ConllOptions::label_columns
  std::vector<std::int64_t> sentence_offsets;  // [S + 1], token indices; no sentence is empty
  std::vector<std::int64_t> document_offsets;  // [D + 1], sentence indices
  std::vector<std::string> document_ids;       // [D], "" where the file gives none
  std::int64_t skipped = 0;                    // lines whose token is empty or blank
  std::int64_t first_skipped = 0;              // the number of the first of them, from 1
};

// Longest token and label, in bytes: longer ones come from files that are no column files.
inline constexpr std::int64_t kMaxFieldBytes = 1 << 20;
inline constexpr std::int64_t kMaxColumns = 256;
inline constexpr std::int64_t kMaxLabels = 1 << 16;

// Reads a whole file held in memory over `threads` (0: one per core). Throws TextError with the line of the
// first problem.
ConllTable read_conll(std::string_view file, const ConllOptions& options, int threads);

struct ConllWriteInput {
  const std::uint8_t* text = nullptr;
  const std::int64_t* offsets = nullptr;  // [n_tokens + 1]
  std::int64_t n_tokens = 0;
  std::vector<const std::int32_t*> label_ids;  // one per label column, each [n_tokens]
  std::vector<std::vector<std::string>> label_names;
  const std::int64_t* sentence_offsets = nullptr;  // [n_sentences + 1]
  std::int64_t n_sentences = 0;
  const std::int64_t* document_offsets = nullptr;  // [n_documents + 1]; n_documents = 0: no -DOCSTART- lines
  std::int64_t n_documents = 0;
  std::vector<std::string> document_ids;
};

// `token TAB label...`, one line a token, an empty line between sentences, none at the end. Throws TextError
// (line: of the output) for a token that could not be read back: an empty one, one with white space (inner
// spaces are none beside a label), or one that would begin a comment or a document.
std::string write_conll(const ConllWriteInput& input);

}  // namespace bioner
