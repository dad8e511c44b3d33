// Word-vector files: where each entry's word and values lie, and the values as float32 rows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/packed_strings.h"

namespace bioner {

// One pass over a file: words (made well-formed UTF-8), and where their values begin.
struct VectorScan {
  std::string text;                         // the words, one after another
  std::vector<std::int64_t> offsets{0};     // [n + 1] into text
  std::vector<std::int64_t> value_offsets;  // [n] into the file
  std::int64_t invalid_utf8 = 0;            // words in which bytes became U+FFFD

  std::int64_t size() const { return static_cast<std::int64_t>(value_offsets.size()); }
};

// word2vec binary: `count` entries from `begin` on, of which the first `limit` are read; only a whole file is
// checked to its end. Throws TextError (without a line) where an entry is cut off or cannot be one.
VectorScan scan_vectors_binary(std::string_view file, std::int64_t begin, std::int64_t count,
                               std::int64_t limit, std::int64_t dim);

// Text: a line an entry, "word v1 ... v_dim". `count` is -1 where there is no header. The word may have
// spaces in it. Throws TextError with the line, counted so that the line at `begin` is `first_line`.
VectorScan scan_vectors_text(std::string_view file, std::int64_t begin, std::int64_t count,
                             std::int64_t limit, std::int64_t dim, std::int64_t first_line, int threads);

// What was met while rows were copied.
struct RowCounts {
  std::int64_t zero = 0;        // rows of zeros only
  std::int64_t not_finite = 0;  // rows with an infinity or NaN
};

// out[n, dim] from the values at value_offsets[0 .. n).
RowCounts copy_rows_binary(std::string_view file, const std::int64_t* value_offsets, std::int64_t n,
                           std::int64_t dim, int threads, float* out);
// The same for text; throws TextError with the line of what is no number.
RowCounts parse_rows_text(std::string_view file, const std::int64_t* value_offsets, std::int64_t n,
                          std::int64_t dim, int threads, float* out);

// The lines of words[i] with rows[i, dim], in the text formats (the shortest digits that read back as the
// same float32) or, with `binary`, in word2vec's. `end` ends an entry.
std::string format_vectors(PackedStrings words, const float* rows, std::int64_t dim, bool binary,
                           std::string_view end, int threads);

// Reads one number of [p, end): digits with '.', an exponent, nan, inf. Returns the position behind it, null
// if there is none. The value is that of float(double), so the same as Python's float() put into a float32.
const char* parse_number(const char* p, const char* end, float& value);

}  // namespace bioner
