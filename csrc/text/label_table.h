// Distinct labels (tags) numbered by first appearance.
#pragma once

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

  // The number of label p[0, n). Neighbouring tokens mostly share theirs, so the last one is tried first.
  std::int32_t id(const unsigned char* p, std::size_t n) {
    if (last_ >= 0 && equal(last_, p, n)) return last_;
    return last_ = find(p, n);
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
  std::int32_t last_ = -1;
};

}  // namespace bioner
