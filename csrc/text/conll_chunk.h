// One piece of a column file, read into memory of its own; conll.cpp puts the pieces together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/conll.h"
#include "text/conll_marks.h"
#include "text/label_table.h"
#include "text/plain_lines.h"

namespace bioner::conll {

// How the lines of a file look: the same for all of them.
struct Layout {
  std::int64_t columns = 0;  // 0: no line has a token
  std::int64_t token_column = 0;
  std::vector<std::int64_t> label_columns;
  bool tabs = false;               // the first line has a tab: tabs alone separate, fields may hold spaces
  unsigned char separator = '\t';  // the one to expect
};

// The number of the line at a position in the file, from 1.
std::int64_t line_of(std::string_view file, std::size_t position);

// Finds the first line of the file, from `begin` on, that has a token. Throws TextError where its columns are
// not what `options` need.
Layout find_layout(std::string_view file, std::size_t begin, const ConllOptions& options);

// Whole lines: [begin, end) of the file, with `lines` line ends among them.
struct Chunk {
  std::size_t begin;
  std::size_t end;
  std::size_t lines;
};

// A line that begins, names or ends a document.
struct DocumentLine {
  std::size_t tokens;  // of the chunk, before the line
  Mark mark;
};

struct FieldList;

// Reads one chunk after the other; its memory is used again.
class ChunkReader {
 public:
  ChunkReader(std::string_view file, const Layout& layout);

  // Throws TextError with the line of the first problem.
  void read(const Chunk& chunk);

  std::size_t tokens() const { return lines_.tokens; }
  std::size_t bytes() const { return lines_.bytes; }
  const unsigned char* text() const { return text_.data(); }
  const std::uint32_t* starts() const { return starts_.data(); }
  const std::int32_t* ids(std::size_t column) const { return ids_[column].data(); }
  const std::vector<std::string>& names(std::size_t column) const { return tables_[column].names(); }
  // Where name `i` of a label column stands first: a position in the file.
  std::size_t first_line(std::size_t column, std::size_t i) const { return first_lines_[column][i]; }
  // Numbers of tokens of the chunk before blank lines and document starts, ascending.
  const std::uint32_t* breaks() const { return breaks_.data(); }
  std::size_t n_breaks() const { return lines_.n_breaks; }
  const std::vector<DocumentLine>& documents() const { return documents_; }
  // Lines whose token is empty or blank, and where the first of them begins in the file.
  std::size_t skipped() const { return skipped_; }
  std::size_t first_skipped() const { return first_skipped_; }

 private:
  template <typename NextDelimiter>
  void read_line(const NextDelimiter& next);
  void add_token(const FieldList& fields);
  void add_break();

  std::string_view file_;
  const Layout& layout_;
  bool is_plain_;          // a layout that line_kernels() read
  std::size_t begin_ = 0;  // of the chunk, in the file
  PlainLines lines_ = {};
  std::vector<unsigned char> copy_;  // of a chunk behind whose end too little can be read
  std::vector<unsigned char> text_;
  std::vector<std::uint32_t> starts_;
  std::vector<std::uint32_t> breaks_;
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<LabelTable> tables_;
  std::vector<std::vector<std::size_t>> first_lines_;
  std::vector<DocumentLine> documents_;
  std::size_t skipped_ = 0;
  std::size_t first_skipped_ = 0;
};

}  // namespace bioner::conll
