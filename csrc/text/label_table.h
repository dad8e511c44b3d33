// Distinct labels (tags) numbered by first appearance.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace bioner {

class LabelTable {
 public:
  LabelTable() : slots_(64, -1) {}

  // The number of label p[0, n). `readable`: bytes that may be read from p on.
  std::int32_t id(const unsigned char* p, std::size_t n, std::size_t readable) {
    if (n == 0 || n > 16 || readable < 16) return find(p, n);
    // The first and the last eight bytes are the whole label. Few labels are common: each mostly owns its
    // entry.
    std::uint64_t head;
    std::uint64_t tail = 0;
    std::memcpy(&head, p, 8);
    if (n < 8) {
      if constexpr (std::endian::native == std::endian::little) {
        head &= (std::uint64_t{1} << (8 * n)) - 1;
      } else {
        head >>= 64 - 8 * n;
      }
    } else {
      std::memcpy(&tail, p + n - 8, 8);
    }
    Recent& recent = recent_[((head ^ (tail * 0x9E3779B97F4A7C15ULL) ^ n) * 0x9E3779B97F4A7C15ULL) >> 56];
    if (recent.head != head || recent.tail != tail || recent.n != n) {
      recent = {head, tail, static_cast<std::uint32_t>(n), find(p, n)};
    }
    return recent.id;
  }

  std::int64_t size() const { return static_cast<std::int64_t>(names_.size()); }
  std::vector<std::string> take() { return std::move(names_); }

 private:
  bool equal(std::int32_t i, const unsigned char* p, std::size_t n) const {
    const std::string& name = names_[static_cast<std::size_t>(i)];
    if (name.size() != n) return false;
    if (n == 1) return static_cast<unsigned char>(name[0]) == p[0];
    return std::memcmp(name.data(), p, n) == 0;
  }

  static std::size_t hash(const unsigned char* p, std::size_t n) {
    std::uint64_t h = 0x9E3779B97F4A7C15ULL ^ n;
    for (std::size_t i = 0; i < n; ++i) h = (h ^ p[i]) * 0x100000001B3ULL;
    return static_cast<std::size_t>(h ^ (h >> 29));
  }

  std::int32_t find(const unsigned char* p, std::size_t n) {
    std::size_t slot = hash(p, n) & (slots_.size() - 1);
    while (slots_[slot] >= 0) {
      if (equal(slots_[slot], p, n)) return slots_[slot];
      slot = (slot + 1) & (slots_.size() - 1);
    }
    const auto added = static_cast<std::int32_t>(names_.size());
    names_.emplace_back(reinterpret_cast<const char*>(p), n);
    slots_[slot] = added;
    if (names_.size() * 2 > slots_.size()) grow();
    return added;
  }

  void grow() {
    slots_.assign(slots_.size() * 2, -1);
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const auto* p = reinterpret_cast<const unsigned char*>(names_[i].data());
      std::size_t slot = hash(p, names_[i].size()) & (slots_.size() - 1);
      while (slots_[slot] >= 0) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = static_cast<std::int32_t>(i);
    }
  }

  std::vector<std::string> names_;
  std::vector<std::int32_t> slots_;

  struct Recent {
    std::uint64_t head = 0;
    std::uint64_t tail = 0;
    std::uint32_t n = 0;
    std::int32_t id = -1;
  };
  Recent recent_[256];
};

}  // namespace bioner
