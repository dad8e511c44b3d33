// The hot loops of the column reader, compiled once per SIMD level; conll_chunk.cpp calls them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bioner::conll {

// Bytes that may be read behind the last one of a chunk.
inline constexpr std::size_t kPadding = 128;
// Bytes searched for delimiters at a time; their positions stay in the first-level cache.
inline constexpr std::size_t kBatch = 4096;
// Tokens are copied as one block of this size; longer ones take the general way.
inline constexpr std::size_t kCopy = 32;
// Labels up to this length are compared as two words; longer ones take the general way.
inline constexpr std::size_t kShortLabel = 16;
inline constexpr std::size_t kLabelSlots = 256;
inline constexpr std::size_t kMaxPlainLabels = 2;

// A label of up to 16 bytes, filled up with NULs, which no text holds.
struct LabelSlot {
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::int64_t id = -1;
};

// Where a label stands among kLabelSlots: few labels are common, so each mostly owns its slot.
inline constexpr std::uint64_t kLabelHash = 0x9E3779B97F4A7C15ULL;
inline constexpr int kLabelShift = 56;

// Whole lines of `columns` fields with one tab or space between them, the first of which is the token, and
// empty lines.
struct PlainLines {
  const unsigned char* data;  // [size + kPadding]
  std::size_t size;
  std::size_t line;  // in: where to begin; out: the first line that was not read
  int columns;
  unsigned char separator;  // the one to expect: a tab or a space
  int label_columns[kMaxPlainLabels];
  const LabelSlot* slots[kMaxPlainLabels];
  unsigned char* text;    // room for size + kCopy bytes
  std::size_t bytes;      // of text, in and out
  std::uint32_t* starts;  // of the tokens in text; room for one a line and kBatch more, here and in ids
  std::int32_t* ids[kMaxPlainLabels];
  std::size_t tokens;     // in and out
  std::uint32_t* breaks;  // numbers of tokens before empty lines, ascending; room for one a line
  std::size_t n_breaks;   // in and out
};

struct TextCounts {
  std::size_t newlines;
  bool has_nul;
  bool is_ascii;
};

struct LineKernels {
  // Reads lines until the end or one that is not plain: a field of another kind, a long or unseen label.
  void (*read)(PlainLines& lines, int n_labels);
  TextCounts (*count)(const unsigned char* data, std::size_t size);
  // out[i] = starts[i] + base
  void (*place)(const std::uint32_t* starts, std::size_t n, std::int64_t base, std::int64_t* out);
  // out[i] = map[ids[i]]
  void (*relabel)(const std::int32_t* ids, std::size_t n, const std::int32_t* map, std::int32_t* out);
};

namespace scalar {
extern const LineKernels line_kernels;
}
namespace avx2 {
extern const LineKernels line_kernels;
}
namespace avx512 {
extern const LineKernels line_kernels;
}

// Those of the level that BIONER_SIMD or the processor asks for.
const LineKernels& line_kernels();

}  // namespace bioner::conll
