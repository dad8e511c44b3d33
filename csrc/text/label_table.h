// Distinct labels (tags) numbered by first appearance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/plain_lines.h"

namespace bioner {

class LabelTable {
 public:
  LabelTable() : index_(64, -1), recent_(conll::kLabelSlots) {}

  // The number of a label, which is added if it is new.
  std::int32_t id(std::string_view label) {
    if (label.empty() || label.size() > conll::kShortLabel) return find(label);
    char bytes[conll::kShortLabel] = {};
    std::memcpy(bytes, label.data(), label.size());
    conll::LabelSlot key;
    std::memcpy(&key.head, bytes, 8);
    std::memcpy(&key.tail, bytes + 8, 8);
    conll::LabelSlot& slot =
        recent_[((key.head ^ (key.tail * conll::kLabelHash)) * conll::kLabelHash) >> conll::kLabelShift];
    if (slot.head != key.head || slot.tail != key.tail || slot.id < 0) {
      key.id = find(label);
      slot = key;
    }
    return static_cast<std::int32_t>(slot.id);
  }

  // [conll::kLabelSlots] labels met lately.
  const conll::LabelSlot* recent() const { return recent_.data(); }

  std::size_t size() const { return names_.size(); }
  const std::vector<std::string>& names() const { return names_; }
  std::vector<std::string> take() { return std::move(names_); }

  void clear() {
    names_.clear();
    index_.assign(64, -1);
    recent_.assign(conll::kLabelSlots, {});
  }

 private:
  static std::size_t hash(std::string_view label) {
    std::uint64_t h = 0x9E3779B97F4A7C15ULL ^ label.size();
    for (const char c : label) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    return static_cast<std::size_t>(h ^ (h >> 29));
  }

  std::int32_t find(std::string_view label) {
    std::size_t slot = hash(label) & (index_.size() - 1);
    for (; index_[slot] >= 0; slot = (slot + 1) & (index_.size() - 1)) {
      if (names_[static_cast<std::size_t>(index_[slot])] == label) return index_[slot];
    }
    const auto added = static_cast<std::int32_t>(names_.size());
    names_.emplace_back(label);
    index_[slot] = added;
    if (names_.size() * 2 > index_.size()) grow();
    return added;
  }

  void grow() {
    index_.assign(index_.size() * 2, -1);
    for (std::size_t i = 0; i < names_.size(); ++i) {
      std::size_t slot = hash(names_[i]) & (index_.size() - 1);
      while (index_[slot] >= 0) slot = (slot + 1) & (index_.size() - 1);
      index_[slot] = static_cast<std::int32_t>(i);
    }
  }

  std::vector<std::string> names_;
  std::vector<std::int32_t> index_;
  std::vector<conll::LabelSlot> recent_;
};

}  // namespace bioner
