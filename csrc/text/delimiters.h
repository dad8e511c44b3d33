// Positions of tabs, spaces and line ends in a text, found 64 bytes at a time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define BIONER_TEXT_SSE2 1
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define BIONER_TEXT_NEON 1
#endif

namespace bioner {

inline bool is_delimiter(unsigned char c) { return c == '\n' || c == '\t' || c == ' ' || c == '\r'; }

// Bit i is set where p[i] is a delimiter; reads 64 bytes.
inline std::uint64_t delimiter_mask(const unsigned char* p) {
#if BIONER_TEXT_SSE2
  const __m128i newline = _mm_set1_epi8('\n'), tab = _mm_set1_epi8('\t');
  const __m128i space = _mm_set1_epi8(' '), carriage = _mm_set1_epi8('\r');
  std::uint64_t mask = 0;
  for (int k = 0; k < 4; ++k) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * k));
    const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, newline), _mm_cmpeq_epi8(x, tab)),
                                     _mm_or_si128(_mm_cmpeq_epi8(x, space), _mm_cmpeq_epi8(x, carriage)));
    mask |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(hit))) << (16 * k);
  }
  return mask;
#elif BIONER_TEXT_NEON
  const uint8x16_t bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t hit[4];
  for (int k = 0; k < 4; ++k) {
    const uint8x16_t x = vld1q_u8(p + 16 * k);
    const uint8x16_t any = vorrq_u8(vorrq_u8(vceqq_u8(x, vdupq_n_u8('\n')), vceqq_u8(x, vdupq_n_u8('\t'))),
                                    vorrq_u8(vceqq_u8(x, vdupq_n_u8(' ')), vceqq_u8(x, vdupq_n_u8('\r'))));
    hit[k] = vandq_u8(any, bits);
  }
  const uint8x16_t sum = vpaddq_u8(vpaddq_u8(hit[0], hit[1]), vpaddq_u8(hit[2], hit[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
#else
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) mask |= static_cast<std::uint64_t>(is_delimiter(p[i])) << i;
  return mask;
#endif
}

// Lists the delimiters of data[begin, size) in order, some thousand at a time.
class DelimiterScanner {
 public:
  DelimiterScanner(const unsigned char* data, std::size_t begin, std::size_t size)
      : data_(data), base_(begin), size_(size) {}

  // Position of the delimiter `ahead` (0 or 1) places further on, `size` when there are no more.
  std::size_t peek(std::size_t ahead) {
    if (at_ + ahead >= count_) refill();
    return at_ + ahead < count_ ? positions_[at_ + ahead] : size_;
  }

  void skip(std::size_t n) { at_ = at_ + n < count_ ? at_ + n : count_; }

  // Position of the next delimiter, `size` when there are no more.
  std::size_t next() {
    const std::size_t position = peek(0);
    skip(1);
    return position;
  }

 private:
  static constexpr std::size_t kBatch = 2048;

  void refill() {
    const std::size_t left = count_ - at_;
    for (std::size_t i = 0; i < left; ++i) positions_[i] = positions_[at_ + i];
    at_ = 0;
    count_ = left;
    while (count_ < kBatch && base_ < size_) {
      append(load(base_), base_);
      base_ += 64;
    }
  }

  // Writes eight positions at a time, more than there are if need be: one branch for eight instead of one for
  // each.
  void append(std::uint64_t mask, std::size_t base) {
    const auto n = static_cast<std::size_t>(std::popcount(mask));
    std::size_t* out = positions_ + count_;
    for (std::size_t done = 0; done < n; done += 8) {
      for (int k = 0; k < 8; ++k) {
        out[done + static_cast<std::size_t>(k)] = base + static_cast<std::size_t>(std::countr_zero(mask));
        mask &= mask - 1;
      }
    }
    count_ += n;
  }

  std::uint64_t load(std::size_t at) const {
    if (at + 64 <= size_) return delimiter_mask(data_ + at);
    unsigned char tail[64] = {};
    std::memcpy(tail, data_ + at, size_ - at);
    return delimiter_mask(tail);
  }

  const unsigned char* data_;
  std::size_t base_;  // where the next block begins
  std::size_t size_;
  std::size_t at_ = 0;
  std::size_t count_ = 0;
  std::size_t positions_[kBatch + 64 + 8];
};

}  // namespace bioner
