// Positions of tabs, spaces and line ends in a text, in order, for lines of any kind.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define BIONER_LEVEL baseline
#include "text/delimiter_mask-inl.h"
#undef BIONER_LEVEL

namespace bioner {

inline bool is_delimiter(unsigned char c) { return c == '\n' || c == '\t' || c == ' ' || c == '\r'; }

// Lists the delimiters of data[begin, size) in order, some thousand at a time.
class DelimiterScanner {
 public:
  DelimiterScanner(const unsigned char* data, std::size_t begin, std::size_t size)
      : data_(data), base_(begin), size_(size) {}

  // Position of the next delimiter, `size` when there are no more.
  std::size_t next() {
    if (at_ == count_) refill();
    return at_ < count_ ? positions_[at_++] : size_;
  }

 private:
  static constexpr std::size_t kBatch = 2048;

  void refill() {
    at_ = 0;
    count_ = 0;
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
    if (at + 64 <= size_) return conll::baseline::delimiter_mask(data_ + at);
    unsigned char tail[64] = {};
    std::memcpy(tail, data_ + at, size_ - at);
    return conll::baseline::delimiter_mask(tail);
  }

  const unsigned char* data_;
  std::size_t base_;  // where the next block begins
  std::size_t size_;
  std::size_t at_ = 0;
  std::size_t count_ = 0;
  std::size_t positions_[kBatch + 64 + 8];
};

}  // namespace bioner
