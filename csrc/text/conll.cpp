#include "text/conll.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "text/delimiters.h"
#include "text/label_table.h"
#include "text/large_array.h"
#include "text/text_error.h"
#include "text/utf8.h"

namespace bioner {

namespace {

constexpr std::string_view kDocumentMarker = "-DOCSTART-";

struct Field {
  std::size_t begin;
  std::size_t end;
};

std::int64_t line_of(std::string_view file, std::size_t position) {
  return 1 + std::count(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(position), '\n');
}

std::string columns_text(std::int64_t n) { return std::to_string(n) + (n == 1 ? " column" : " columns"); }

// Refuses what is not UTF-8 text and returns an upper bound of the number of lines.
std::int64_t check_text(std::string_view file) {
  if (file.size() >= 2) {
    const auto first = static_cast<unsigned char>(file[0]);
    const auto second = static_cast<unsigned char>(file[1]);
    if ((first == 0xFF && second == 0xFE) || (first == 0xFE && second == 0xFF)) {
      throw TextError(1, "expected UTF-8, found the byte-order mark of UTF-16");
    }
  }
  // Sums of so few bytes fit a byte each, so that compilers turn the inner loop into plain vector code.
  constexpr std::size_t kBlock = 128;
  const auto* data = reinterpret_cast<const unsigned char*>(file.data());
  std::int64_t lines = 1;
  unsigned char high = 0;
  for (std::size_t begin = 0; begin < file.size(); begin += kBlock) {
    const std::size_t n = std::min(kBlock, file.size() - begin);
    unsigned char nuls = 0;
    unsigned char newlines = 0;
    const auto look = [&](std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const unsigned char c = data[begin + i];
        high = static_cast<unsigned char>(high | c);
        nuls = static_cast<unsigned char>(nuls + (c == 0));
        newlines = static_cast<unsigned char>(newlines + (c == '\n'));
      }
    };
    if (n == kBlock) {
      look(kBlock);
    } else {
      look(n);
    }
    if (nuls != 0) {
      const std::size_t at = file.find('\0', begin);
      throw TextError(line_of(file, at),
                      "expected text, found a NUL byte (is this a binary or UTF-16 file?)");
    }
    lines += newlines;
  }
  if ((high & 0x80) != 0) {
    const std::size_t at = find_invalid_utf8(file);
    if (at < file.size()) {
      char byte[8];
      std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(file[at]));
      throw TextError(line_of(file, at), std::string("expected UTF-8, found the byte ") + byte);
    }
  }
  return lines;
}

class Reader {
 public:
  Reader(std::string_view file, const ConllOptions& options)
      : file_(file), options_(options), lines_(check_text(file)), tables_(options.label_columns.size()) {
    table_.text = large_array<std::uint8_t>(file.size() + kCopy);
    table_.offsets = large_array<std::int64_t>(static_cast<std::size_t>(lines_) + 1);
    table_.labels.resize(tables_.size());
    for (LabelColumn& label : table_.labels)
      label.ids = large_array<std::int32_t>(static_cast<std::size_t>(lines_));
    label_columns_.resize(tables_.size());
    table_.sentence_offsets.push_back(0);
    table_.document_offsets.push_back(0);
  }

  ConllTable read() {
    const auto* data = reinterpret_cast<const unsigned char*>(file_.data());
    const std::size_t size = file_.size();
    std::size_t line = file_.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0;
    DelimiterScanner scanner(data, line, size);
    while (line < size) {
      // Nearly every line is "token separator tag newline"; any other takes the general way below.
      const std::size_t first = scanner.peek(0);
      const std::size_t second = scanner.peek(1);
      if (is_plain_ && second < size && is_two_fields(data, line, first, second)) {
        add_plain(data, line, first, second);
        scanner.skip(2);
        line = second + 1;
        continue;
      }
      std::size_t at = scanner.next();
      if (at == line && at < size && data[at] == '\n') {
        end_sentence();
        line = at + 1;
        continue;
      }
      std::size_t field = line;
      std::int64_t count = 0;
      for (;;) {
        if (at > field) {
          if (count == kMaxColumns)
            fail(line, "expected at most " + columns_text(kMaxColumns) + ", found more");
          fields_[count++] = {field, at};
        }
        if (at >= size || data[at] == '\n') break;
        if (data[at] == '\r' && at + 1 < size && data[at + 1] != '\n') {
          fail(line, "expected line ends LF or CRLF, found a carriage return inside the line");
        }
        field = at + 1;
        at = scanner.next();
      }
      if (count == 0) {
        end_sentence();
      } else if (is_document_marker(fields_[0])) {
        begin_document(count);
      } else {
        add_token(line, count);
      }
      line = at + 1;
    }
    return finish();
  }

 private:
  static constexpr std::size_t kCopy = 16;  // short tokens are copied as one block of this size

  [[noreturn]] void fail(std::size_t line, const std::string& message) const {
    throw TextError(line_of(file_, line), message);
  }

  std::string_view whole_line(std::size_t line) const {
    std::size_t end = std::min(file_.find('\n', line), file_.size());
    if (end > line && file_[end - 1] == '\r') --end;
    return file_.substr(line, end - line);
  }

  bool is_document_marker(Field f) const {
    return f.end - f.begin == kDocumentMarker.size() &&
           std::memcmp(file_.data() + f.begin, kDocumentMarker.data(), kDocumentMarker.size()) == 0;
  }

  // Whether the line is two fields with one tab or space between them, and no document marker.
  bool is_two_fields(const unsigned char* data, std::size_t line, std::size_t first,
                     std::size_t second) const {
    const bool is_plain = (first > line) & (second > first + 1) & (data[second] == '\n') &
                          (data[first] != '\n') & (data[first] != '\r') & (first + kCopy <= file_.size()) &
                          (first - line <= kCopy);
    return is_plain && !(first - line == kDocumentMarker.size() && is_document_marker({line, first}));
  }

  void add_plain(const unsigned char* data, std::size_t line, std::size_t first, std::size_t second) {
    const auto index = static_cast<std::size_t>(table_.n_tokens++);
    std::memcpy(table_.text.get() + written_, data + line, kCopy);
    table_.offsets[index] = static_cast<std::int64_t>(written_);
    written_ += first - line;
    const std::size_t label = first + 1;
    table_.labels[0].ids[index] = tables_[0].id(data + label, second - label, file_.size() - label);
    if (tables_[0].size() > kMaxLabels) fail_labels(line);
  }

  [[noreturn]] void fail_labels(std::size_t line) const {
    fail(line, "expected at most " + std::to_string(kMaxLabels) +
                   " different tags, found more: is this column the tag?");
  }

  void end_sentence() {
    if (table_.sentence_offsets.back() != table_.n_tokens) table_.sentence_offsets.push_back(table_.n_tokens);
  }

  std::int64_t n_sentences() const { return static_cast<std::int64_t>(table_.sentence_offsets.size()) - 1; }

  // Closes the document that is open: one begun by a marker, or by tokens before the first marker.
  void end_document() {
    end_sentence();
    if (!document_open_ && n_sentences() == table_.document_offsets.back()) return;
    table_.document_offsets.push_back(n_sentences());
    table_.document_ids.push_back(std::move(document_id_));
    document_id_.clear();
    document_open_ = false;
  }

  void begin_document(std::int64_t count) {
    end_document();
    document_open_ = true;
    // The rest of the line is the id, save the fillers that keep columns aligned ("-DOCSTART- -X- O O").
    for (std::int64_t i = 1; i < count; ++i) {
      const std::string_view value = file_.substr(fields_[i].begin, fields_[i].end - fields_[i].begin);
      if (value == "O" || value == "-X-" || value == "-" || value == "_") continue;
      const std::size_t begin = fields_[1].begin;
      document_id_ = file_.substr(begin, fields_[count - 1].end - begin);
      return;
    }
  }

  std::int64_t resolve(std::int64_t column, std::size_t line, const char* what) const {
    const std::int64_t index = column < 0 ? column + columns_ : column;
    if (index < 0 || index >= columns_) {
      fail(line, std::string("expected a ") + what + " in column " + std::to_string(column) +
                     " (0 is the first, -1 the last), found " + columns_text(columns_) + ": " +
                     quoted(whole_line(line)));
    }
    return index;
  }

  void set_columns(std::size_t line, std::int64_t count) {
    if (count < options_.min_columns) {
      const char* kinds[] = {"token", "token and tag", "token, gold tag and predicted tag"};
      const auto wanted = std::clamp<std::int64_t>(options_.min_columns, 1, 3);
      fail(line, "expected at least " + columns_text(options_.min_columns) + " (" + kinds[wanted - 1] +
                     ", separated by a tab or spaces), found " + std::to_string(count) + ": " +
                     quoted(whole_line(line)));
    }
    columns_ = count;
    token_column_ = resolve(options_.token_column, line, "token");
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      label_columns_[i] = resolve(options_.label_columns[i], line, "tag");
    }
    is_plain_ = columns_ == 2 && token_column_ == 0 && tables_.size() == 1 && label_columns_[0] == 1;
  }

  void add_token(std::size_t line, std::int64_t count) {
    if (count != columns_) {
      if (columns_ != 0) {
        fail(line, "expected " + columns_text(columns_) + " as in the lines before, found " +
                       std::to_string(count) + ": " + quoted(whole_line(line)));
      }
      set_columns(line, count);
    }
    const auto* data = reinterpret_cast<const unsigned char*>(file_.data());
    const Field token = fields_[token_column_];
    const std::size_t length = token.end - token.begin;
    std::uint8_t* out = table_.text.get() + written_;
    if (length <= kCopy && token.begin + kCopy <= file_.size()) {
      std::memcpy(out, data + token.begin, kCopy);
    } else {
      if (static_cast<std::int64_t>(length) > kMaxFieldBytes) {
        fail(line, "expected a token of at most " + std::to_string(kMaxFieldBytes) + " bytes, found " +
                       std::to_string(length));
      }
      std::memcpy(out, data + token.begin, length);
    }
    const auto index = static_cast<std::size_t>(table_.n_tokens);
    table_.offsets[index] = static_cast<std::int64_t>(written_);
    written_ += length;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      const Field label = fields_[label_columns_[i]];
      table_.labels[i].ids[index] =
          tables_[i].id(data + label.begin, label.end - label.begin, file_.size() - label.begin);
      if (tables_[i].size() > kMaxLabels) fail_labels(line);
    }
    ++table_.n_tokens;
  }

  ConllTable finish() {
    end_document();
    table_.offsets[static_cast<std::size_t>(table_.n_tokens)] = static_cast<std::int64_t>(written_);
    for (std::size_t i = 0; i < tables_.size(); ++i) table_.labels[i].names = tables_[i].take();
    return std::move(table_);
  }

  std::string_view file_;
  const ConllOptions& options_;
  std::int64_t lines_;
  std::vector<LabelTable> tables_;
  ConllTable table_;
  std::size_t written_ = 0;
  std::int64_t columns_ = 0;
  bool is_plain_ = false;  // two columns, token and tag
  std::int64_t token_column_ = 0;
  std::vector<std::int64_t> label_columns_;
  bool document_open_ = false;
  std::string document_id_;
  Field fields_[kMaxColumns];
};

}  // namespace

ConllTable read_conll(std::string_view file, const ConllOptions& options) {
  return Reader(file, options).read();
}

}  // namespace bioner
