#include "text/conll_chunk.h"

#include <algorithm>
#include <cstring>

#include "text/delimiters.h"
#include "text/text_error.h"

namespace bioner::conll {

struct FieldList {
  struct Field {
    std::size_t begin;
    std::size_t end;
  };
  std::size_t line = 0;  // where it begins
  std::size_t end = 0;   // of its line end
  bool has_tab = false;
  bool too_many = false;  // more than kMaxColumns: a comment, or an error
  std::int64_t count = 0;
  Field fields[kMaxColumns];

  bool is_empty(std::int64_t i) const { return fields[i].begin == fields[i].end; }

  std::string_view text(const unsigned char* data, std::int64_t i) const {
    return {reinterpret_cast<const char*>(data) + fields[i].begin, fields[i].end - fields[i].begin};
  }
};

namespace {

// After so many lines in a row that are not plain, the rest of a chunk is not tried any more.
constexpr int kPatience = 16;

std::string columns_text(std::int64_t n) { return std::to_string(n) + (n == 1 ? " column" : " columns"); }

// `line` is a position in the file.
[[noreturn]] void fail(std::string_view file, std::size_t line, const std::string& message) {
  throw TextError(line_of(file, line), message);
}

void refuse_more(std::string_view file, std::size_t line, const FieldList& list) {
  if (list.too_many) fail(file, line, "expected at most " + columns_text(kMaxColumns) + ", found more");
}

std::string quoted_line(std::string_view file, std::size_t line) {
  std::size_t end = std::min(file.find('\n', line), file.size());
  if (end > line && file[end - 1] == '\r') --end;
  return quoted(file.substr(line, end - line));
}

// The fields of the line at list.line of data[0, size), which stands at `origin` of the file. `next` gives
// one delimiter after the other, and `size` in the end. With `tabs` only they separate: spaces at the edges
// of a field are cut, fields may be empty, those at the end of the line are left out.
template <typename NextDelimiter>
void split(std::string_view file, std::size_t origin, const unsigned char* data, std::size_t size,
           const NextDelimiter& next, bool tabs, FieldList& list) {
  std::size_t field = list.line;
  list.count = 0;
  list.has_tab = false;
  list.too_many = false;
  const auto add = [&](std::size_t begin, std::size_t end) {
    list.too_many = list.too_many || list.count == kMaxColumns;
    if (!list.too_many) list.fields[list.count++] = {begin, end};
  };
  for (;;) {
    const std::size_t at = next();
    const bool is_end = at >= size || data[at] == '\n';
    if (!is_end && data[at] == '\r' && at + 1 < size && data[at + 1] != '\n') {
      fail(file, origin + list.line,
           "expected line ends LF or CRLF, found a carriage return inside the line");
    }
    if (!is_end && data[at] == '\t') list.has_tab = true;
    if (!tabs) {
      if (at > field) add(field, at);
    } else if (is_end || data[at] == '\t') {
      std::size_t end = at;
      while (field < end && data[field] == ' ') ++field;
      while (end > field && (data[end - 1] == ' ' || data[end - 1] == '\r')) --end;
      add(field, end);
    } else {
      continue;
    }
    if (is_end) {
      list.end = at;
      break;
    }
    field = at + 1;
  }
  while (list.count > 0 && list.is_empty(list.count - 1)) --list.count;
}

// Delimiters from `at` on, one byte at a time: for a line here and there.
class ByteScanner {
 public:
  ByteScanner(const unsigned char* data, std::size_t at, std::size_t size)
      : data_(data), at_(at), size_(size) {}

  std::size_t next() {
    while (at_ < size_) {
      if (is_delimiter(data_[at_++])) return at_ - 1;
    }
    return size_;
  }

 private:
  const unsigned char* data_;
  std::size_t at_;
  std::size_t size_;
};

// Brings the fields of a line into the columns of the layout where they do not stand there already: empty
// fields behind the first are left out, and in a file with tabs a line without may be split at spaces.
void fit(std::string_view file, std::size_t origin, const unsigned char* data, std::size_t size,
         const Layout& layout, FieldList& list) {
  if (list.count == layout.columns) return;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < list.count; ++i) {
    if (i == 0 || !list.is_empty(i)) list.fields[kept++] = list.fields[i];
  }
  list.count = kept;
  if (!layout.tabs || list.has_tab || list.count == layout.columns) return;
  FieldList spaced;
  spaced.line = list.line;
  ByteScanner scanner(data, list.line, size);
  split(file, origin, data, size, [&] { return scanner.next(); }, false, spaced);
  if (spaced.count == layout.columns || spaced.too_many) list = spaced;
}

}  // namespace

std::int64_t line_of(std::string_view file, std::size_t position) {
  return 1 + std::count(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(position), '\n');
}

Layout find_layout(std::string_view file, std::size_t begin, const ConllOptions& options) {
  const auto* data = reinterpret_cast<const unsigned char*>(file.data());
  FieldList list;
  Layout layout;
  for (list.line = begin; list.line < file.size(); list.line = list.end + 1) {
    ByteScanner scanner(data, list.line, file.size());
    split(file, 0, data, file.size(), [&] { return scanner.next(); }, false, list);
    const std::string_view line = file.substr(list.line, list.end - list.line);
    if (list.count == 0 || read_mark(line, true).kind != Mark::Kind::kNone || !may_begin_columns(line))
      continue;
    layout.tabs = list.has_tab;
    if (layout.tabs) {
      scanner = ByteScanner(data, list.line, file.size());
      split(file, 0, data, file.size(), [&] { return scanner.next(); }, true, list);
      fit(file, 0, data, file.size(), layout, list);
    }
    if (!list.is_empty(0)) break;
  }
  if (list.line >= file.size()) {
    layout.tabs = true;
    layout.label_columns.resize(options.label_columns.size());
    return layout;
  }
  refuse_more(file, list.line, list);
  layout.columns = list.count;
  if (!layout.tabs && list.count > 1) layout.separator = ' ';
  const auto found = [&] {
    return "found " + columns_text(list.count) + ": " + quoted_line(file, list.line);
  };
  if (list.count < options.min_columns) {
    const char* kinds[] = {"token", "token and tag", "token, gold tag and predicted tag"};
    const auto wanted = std::clamp<std::int64_t>(options.min_columns, 1, 3);
    fail(file, list.line,
         "expected at least " + columns_text(options.min_columns) + " (" + kinds[wanted - 1] +
             ", separated by a tab or spaces), " + found());
  }
  const auto resolve = [&](std::int64_t column, const char* what) {
    const std::int64_t index = column < 0 ? column + list.count : column;
    if (index < 0 || index >= list.count) {
      const std::string place =
          column < 0 ? " from the right" : " (the " + std::to_string(column + 1) + "th, counted from 1)";
      fail(file, list.line,
           std::string("expected a ") + what + " in column " + std::to_string(column) + place + ", " +
               found());
    }
    return index;
  };
  layout.token_column = resolve(options.token_column, "token");
  for (const std::int64_t column : options.label_columns) {
    layout.label_columns.push_back(resolve(column, "tag"));
  }
  return layout;
}

ChunkReader::ChunkReader(std::string_view file, const Layout& layout)
    : file_(file),
      layout_(layout),
      ids_(layout.label_columns.size()),
      tables_(layout.label_columns.size()),
      first_lines_(layout.label_columns.size()) {
  const std::vector<std::int64_t>& labels = layout.label_columns;
  const std::int64_t columns = layout.columns;
  is_plain_ = layout.token_column == 0 && ((columns == 2 && labels == std::vector<std::int64_t>{1}) ||
                                           (columns == 3 && (labels.size() == 1 || labels.size() == 2)) ||
                                           (columns == 4 && labels.size() == 1));
  // line_kernels() take a label to stand behind another field.
  if (std::find(labels.begin(), labels.end(), 0) != labels.end()) is_plain_ = false;
}

void ChunkReader::read(const Chunk& chunk) {
  begin_ = chunk.begin;
  const std::size_t size = chunk.end - chunk.begin;
  const auto* data = reinterpret_cast<const unsigned char*>(file_.data()) + chunk.begin;
  if (file_.size() - chunk.end < kPadding) {
    copy_.assign(size + kPadding, 0);
    std::memcpy(copy_.data(), data, size);
    data = copy_.data();
  }
  // The last line of a file may have no line end. And room for what line_kernels() write before they look.
  const std::size_t lines = chunk.lines + 1 + kBatch;
  if (text_.size() < size + kCopy) text_.resize(size + kCopy);
  if (starts_.size() < lines) {
    starts_.resize(lines);
    breaks_.resize(lines);
    for (std::vector<std::int32_t>& ids : ids_) ids.resize(lines);
  }
  documents_.clear();
  skipped_ = 0;
  for (LabelTable& table : tables_) table.clear();
  for (std::vector<std::size_t>& first : first_lines_) first.clear();
  lines_ = {};
  lines_.data = data;
  lines_.size = size;
  lines_.columns = static_cast<int>(layout_.columns);
  lines_.separator = layout_.separator;
  lines_.text = text_.data();
  lines_.starts = starts_.data();
  lines_.breaks = breaks_.data();
  if (is_plain_) {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      lines_.label_columns[i] = static_cast<int>(layout_.label_columns[i]);
      lines_.slots[i] = tables_[i].recent();
      lines_.ids[i] = ids_[i].data();
    }
    const LineKernels& kernels = line_kernels();
    for (int failures = 0; lines_.line < size && failures < kPatience;) {
      const std::size_t before = lines_.line;
      kernels.read(lines_, static_cast<int>(tables_.size()));
      failures = lines_.line == before ? failures + 1 : 0;
      if (lines_.line >= size) break;
      ByteScanner scanner(data, lines_.line, size);
      read_line([&] { return scanner.next(); });
    }
  }
  DelimiterScanner scanner(data, lines_.line, size);
  while (lines_.line < size) read_line([&] { return scanner.next(); });
}

// Reads the line at lines_.line, of whatever kind, and goes on to the next one.
template <typename NextDelimiter>
void ChunkReader::read_line(const NextDelimiter& next) {
  FieldList list;
  list.line = lines_.line;
  split(file_, begin_, lines_.data, lines_.size, next, layout_.tabs, list);
  lines_.line = list.end + 1;
  if (list.count == 0) {
    add_break();
    return;
  }
  fit(file_, begin_, lines_.data, lines_.size, layout_, list);
  const unsigned char first = lines_.data[list.line];
  if (first == '#' || first == '-' || first == ' ' || first == '\t') {
    // A comment is not split at spaces to see whether it fits a file with tabs.
    const bool has_columns =
        list.count == layout_.columns && !list.too_many && (list.has_tab || !layout_.tabs || list.count == 1);
    const std::string_view line(reinterpret_cast<const char*>(lines_.data) + list.line, list.end - list.line);
    Mark mark = read_mark(line, has_columns);
    if (mark.kind == Mark::Kind::kStart) add_break();
    if (mark.kind != Mark::Kind::kNone) {
      if (mark.kind != Mark::Kind::kComment) documents_.push_back({lines_.tokens, std::move(mark)});
      return;
    }
  }
  add_token(list);
}

void ChunkReader::add_break() {
  const auto tokens = static_cast<std::uint32_t>(lines_.tokens);
  const bool is_new = lines_.n_breaks == 0 || breaks_[lines_.n_breaks - 1] != tokens;
  if (is_new) breaks_[lines_.n_breaks++] = tokens;
}

void ChunkReader::add_token(const FieldList& list) {
  const std::size_t line = begin_ + list.line;
  refuse_more(file_, line, list);
  if (layout_.tabs && list.is_empty(0) && (list.count == layout_.columns || layout_.columns == 0)) {
    if (skipped_++ == 0) first_skipped_ = line;
    return;
  }
  if (list.count != layout_.columns) {
    fail(file_, line,
         "expected " + columns_text(layout_.columns) + " as in the lines before, found " +
             std::to_string(list.count) + ": " + quoted_line(file_, line));
  }
  const std::string_view token = list.text(lines_.data, layout_.token_column);
  if (static_cast<std::int64_t>(token.size()) > kMaxFieldBytes) {
    fail(file_, line,
         "expected a token of at most " + std::to_string(kMaxFieldBytes) + " bytes, found " +
             std::to_string(token.size()));
  }
  std::memcpy(text_.data() + lines_.bytes, token.data(), token.size());
  starts_[lines_.tokens] = static_cast<std::uint32_t>(lines_.bytes);
  lines_.bytes += token.size();
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const std::size_t known = tables_[i].size();
    ids_[i][lines_.tokens] = tables_[i].id(list.text(lines_.data, layout_.label_columns[i]));
    if (tables_[i].size() > known) first_lines_[i].push_back(line);
  }
  ++lines_.tokens;
}

}  // namespace bioner::conll
