// Bodies of plain_lines.h; compiled once per SIMD level, each in a namespace of its own (BIONER_LEVEL).
// Include only headers whose functions are always inlined.

#include <string.h>

#include <bit>

#include "base/core/macros.h"
#include "text/delimiter_mask-inl.h"
#include "text/plain_lines.h"

// std::popcount and its like are shared functions, which a file of one level must not hold.
#if defined(__GNUC__)
#define BIONER_POPCOUNT(mask) __builtin_popcountll(mask)
#define BIONER_FIRST_BIT(mask) __builtin_ctzll(mask)
#else
#define BIONER_POPCOUNT(mask) std::popcount(mask)
#define BIONER_FIRST_BIT(mask) std::countr_zero(mask)
#endif

namespace bioner::conll::BIONER_LEVEL {
namespace {

constexpr std::uint64_t kLastBit = std::uint64_t{1} << 63;  // something to find where no bit is set
constexpr std::size_t kMaskRows = 32;                       // a power of two above kShortLabel

// The first n of 16 bytes.
struct LabelMask {
  std::uint64_t head, tail;
};
struct LabelMasks {
  LabelMask of[kMaskRows];  // those of longer labels are not used
};

// The first n of eight bytes.
constexpr std::uint64_t byte_mask(std::size_t n) {
  const std::uint64_t all = ~std::uint64_t{0};
  if (n == 0) return 0;
  return std::endian::native == std::endian::little ? all >> (8 * (8 - n)) : all << (8 * (8 - n));
}

constexpr LabelMasks make_label_masks() {
  LabelMasks masks = {};
  for (std::size_t n = 0; n <= kShortLabel; ++n) {
    masks.of[n] = {byte_mask(n < 8 ? n : 8), byte_mask(n > 8 ? n - 8 : 0)};
  }
  return masks;
}
constexpr LabelMasks kLabelMasks = make_label_masks();

BIONER_INLINE std::uint64_t load64(const unsigned char* p) {
  std::uint64_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

// Whether a line may be no token but a comment or a document marker (conll_marks.h).
BIONER_INLINE bool may_be_mark(const unsigned char* line) {
  constexpr std::uint64_t kLower = 0x2020202020202020;  // makes letters small and leaves hyphens
  const std::uint64_t word = load64(line) | kLower;
  return line[0] == '#' || word == load64(reinterpret_cast<const unsigned char*>("-docstar")) ||
         word == load64(reinterpret_cast<const unsigned char*>("--docsta"));
}

// Lists the delimiters of data[0, size), more positions than that if they lie in the last block; what follows
// them in `out` is arbitrary.
BIONER_INLINE std::size_t find_delimiters(const unsigned char* data, std::size_t size, std::uint32_t* out) {
  std::size_t count = 0;
#if defined(__AVX512F__)
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (std::size_t base = 0; base < size; base += 64) {
    const std::uint64_t mask = delimiter_mask(data + base);
    for (int k = 0; k < 4; ++k) {
      const auto part = static_cast<std::uint16_t>(mask >> (16 * k));
      const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(base) + 16 * k));
      // Into a register first: compressing to memory is microcode on some processors.
      _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi32(part, at));
      count += static_cast<std::size_t>(BIONER_POPCOUNT(part));
    }
  }
#else
  // Eight at a time: one branch for eight instead of one for each.
  for (std::size_t base = 0; base < size; base += 64) {
    std::uint64_t mask = delimiter_mask(data + base);
    const auto n = static_cast<std::size_t>(BIONER_POPCOUNT(mask));
    for (std::size_t done = 0; done < n; done += 8) {
      for (std::size_t k = 0; k < 8; ++k) {
        out[count + done + k] =
            static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(BIONER_FIRST_BIT(mask | kLastBit));
        mask &= mask - 1;
      }
    }
    count += n;
  }
#endif
  return count;
}

// The slot in which a label of up to 16 bytes would be.
struct Label {
  std::uint64_t head, tail;
};
BIONER_INLINE Label load_label(const unsigned char* p, std::size_t n) {
  const LabelMask mask = kLabelMasks.of[n % kMaskRows];
  return {load64(p) & mask.head, load64(p + 8) & mask.tail};
}
BIONER_INLINE const LabelSlot& slot_of(const LabelSlot* slots, Label label) {
  return slots[((label.head ^ (label.tail * kLabelHash)) * kLabelHash) >> kLabelShift];
}

// Where a batch stands.
struct Place {
  std::size_t line, at;  // the next line's begin, and the number of its first delimiter
  std::size_t bytes, tokens, n_breaks, last_break;
};

BIONER_INLINE void add_break(const PlainLines& s, Place& place) {
  if (place.tokens != place.last_break) {
    s.breaks[place.n_breaks++] = static_cast<std::uint32_t>(place.tokens);
    place.last_break = place.tokens;
  }
  ++place.line;
  ++place.at;
}

// Reads the lines of a batch as if they were all plain and says afterwards whether they were: no branch a
// line but for the empty ones. Where they were not, what was written is to be written again.
template <int kColumns, int kLabels>
BIONER_INLINE bool read_hopefully(const PlainLines& s, const unsigned char* base, std::size_t size,
                                  const std::uint32_t* positions, std::size_t count, Place& result) {
  Place place = result;
  std::size_t token_lengths = 0;  // one less each, or'ed: below a power of two only if every one is
  std::size_t label_lengths = 0;
  std::size_t field_lengths = 0;
  std::uint64_t wrong = 0;
  while (place.at + kColumns <= count && place.line < size) {
    const std::uint32_t* const ends = positions + place.at;
    const std::size_t length = ends[0] - place.line;
    if (length == 0) {
      if (base[place.line] != '\n') return false;
      add_break(s, place);
      continue;
    }
    token_lengths |= length - 1;
    for (int c = 0; c + 1 < kColumns; ++c) wrong |= base[ends[c]] ^ s.separator;
    wrong |= base[ends[kColumns - 1]] ^ static_cast<unsigned>('\n');
    wrong |= may_be_mark(base + place.line) ? 1u : 0u;
    for (int c = 1; c < kColumns; ++c) field_lengths |= ends[c] - ends[c - 1] - std::size_t{2};
    for (int l = 0; l < kLabels; ++l) {
      const int column = kColumns == 2 ? 1 : s.label_columns[l];
      const std::size_t n = ends[column] - ends[column - 1] - std::size_t{1};
      label_lengths |= n - 1;
      const Label label = load_label(base + ends[column - 1] + 1, n);
      const LabelSlot& slot = slot_of(s.slots[l], label);
      wrong |= (label.head ^ slot.head) | (label.tail ^ slot.tail);
      s.ids[l][place.tokens] = static_cast<std::int32_t>(slot.id);
    }
    memcpy(s.text + place.bytes, base + place.line, kCopy);
    s.starts[place.tokens++] = static_cast<std::uint32_t>(place.bytes);
    place.bytes += length;
    place.line = ends[kColumns - 1] + std::size_t{1};
    place.at += kColumns;
  }
  // An empty field makes its length wrap around.
  if (wrong != 0 || token_lengths >= kCopy || label_lengths >= kShortLabel || field_lengths >= kBatch) {
    return false;
  }
  result = place;
  return true;
}

// The same with an eye on each line: stops at the first that is not plain, and says whether there is one.
template <int kColumns, int kLabels>
bool read_carefully(const PlainLines& s, const unsigned char* base, std::size_t size,
                    const std::uint32_t* positions, std::size_t count, Place& place) {
  while (place.at + kColumns <= count && place.line < size) {
    const std::uint32_t* const ends = positions + place.at;
    if (ends[0] == place.line) {
      if (base[place.line] != '\n') return false;
      add_break(s, place);
      continue;
    }
    const std::size_t length = ends[0] - place.line;
    if (length > kCopy || base[ends[kColumns - 1]] != '\n' || may_be_mark(base + place.line)) return false;
    for (int c = 1; c < kColumns; ++c) {
      const unsigned char between = base[ends[c - 1]];
      if ((between != '\t' && (between != ' ' || s.separator == '\t')) || ends[c] - ends[c - 1] < 2)
        return false;
    }
    for (int l = 0; l < kLabels; ++l) {
      const int column = s.label_columns[l];
      const std::size_t n = ends[column] - ends[column - 1] - std::size_t{1};
      if (n > kShortLabel) return false;
      const Label label = load_label(base + ends[column - 1] + 1, n);
      const LabelSlot& slot = slot_of(s.slots[l], label);
      if (slot.head != label.head || slot.tail != label.tail) return false;
      s.ids[l][place.tokens] = static_cast<std::int32_t>(slot.id);
    }
    memcpy(s.text + place.bytes, base + place.line, kCopy);
    s.starts[place.tokens++] = static_cast<std::uint32_t>(place.bytes);
    place.bytes += length;
    place.line = ends[kColumns - 1] + std::size_t{1};
    place.at += kColumns;
  }
  return true;
}

template <int kColumns, int kLabels>
void read_lines(PlainLines& in) {
  std::uint32_t positions[kBatch + 64 + 16];
  const PlainLines s = in;  // a copy of its own, so that what is written cannot be thought to change it
  const std::size_t last_break = s.n_breaks > 0 ? s.breaks[s.n_breaks - 1] : ~std::size_t{0};
  Place place = {0, 0, s.bytes, s.tokens, s.n_breaks, last_break};
  std::size_t line = s.line;
  while (line < s.size) {
    const unsigned char* const base = s.data + line;
    const std::size_t size = s.size - line < kBatch ? s.size - line : kBatch;
    const std::size_t count = find_delimiters(base, size, positions);
    place.line = 0;
    place.at = 0;
    const bool is_plain = read_hopefully<kColumns, kLabels>(s, base, size, positions, count, place) ||
                          read_carefully<kColumns, kLabels>(s, base, size, positions, count, place);
    line += place.line;
    if (!is_plain || place.line == 0) break;
  }
  in.line = line;
  in.bytes = place.bytes;
  in.tokens = place.tokens;
  in.n_breaks = place.n_breaks;
}

void read(PlainLines& lines, int n_labels) {
  if (lines.columns == 2) {
    read_lines<2, 1>(lines);
  } else if (lines.columns == 3 && n_labels == 1) {
    read_lines<3, 1>(lines);
  } else if (lines.columns == 3) {
    read_lines<3, 2>(lines);
  } else {
    read_lines<4, 1>(lines);
  }
}

TextCounts count(const unsigned char* data, std::size_t size) {
  // Sums of so few bytes fit a byte each, so that compilers turn the inner loop into plain vector code.
  constexpr std::size_t kBlock = 128;
  TextCounts counts = {0, false, true};
  unsigned char high = 0;
  unsigned char nuls = 0;
  for (std::size_t begin = 0; begin < size; begin += kBlock) {
    const std::size_t n = size - begin < kBlock ? size - begin : kBlock;
    unsigned char newlines = 0;
    const unsigned char* const p = data + begin;
    if (n == kBlock) {
      for (std::size_t i = 0; i < kBlock; ++i) {
        high = static_cast<unsigned char>(high | p[i]);
        nuls = static_cast<unsigned char>(nuls | (p[i] == 0));
        newlines = static_cast<unsigned char>(newlines + (p[i] == '\n'));
      }
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        high = static_cast<unsigned char>(high | p[i]);
        nuls = static_cast<unsigned char>(nuls | (p[i] == 0));
        newlines = static_cast<unsigned char>(newlines + (p[i] == '\n'));
      }
    }
    counts.newlines += newlines;
  }
  counts.has_nul = nuls != 0;
  counts.is_ascii = (high & 0x80) == 0;
  return counts;
}

void place(const std::uint32_t* starts, std::size_t n, std::int64_t base, std::int64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = base + static_cast<std::int64_t>(starts[i]);
}

void relabel(const std::int32_t* ids, std::size_t n, const std::int32_t* map, std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = map[ids[i]];
}

}  // namespace

const LineKernels line_kernels = {&read, &count, &place, &relabel};

}  // namespace bioner::conll::BIONER_LEVEL
