// Keys of one size with a row each, for tables of what was computed once per distinct token.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace bioner {

// Row 0 belongs to no key and says "not there". Not thread-safe: callers hold a lock.
class RowIndex {
 public:
  explicit RowIndex(std::int64_t key_size) : key_size_(key_size), slots_(16) {}

  std::int64_t key_size() const { return key_size_; }
  const std::vector<std::int32_t>& rows() const { return rows_; }  // in order of insertion

  // Rows of n keys.
  void find(const std::uint8_t* keys, std::int64_t n, std::int32_t* rows) const;
  // Gives keys[which[i]] the row first + i; of equal keys the last one counts.
  void insert(const std::uint8_t* keys, const std::int64_t* which, std::int64_t n, std::int32_t first);
  // The keys whose row r has a new one, place[r] > 0.
  RowIndex kept(const std::int32_t* place) const;

 private:
  std::string_view key_of(const std::uint8_t* keys, std::size_t i) const {
    const auto size = static_cast<std::size_t>(key_size_);
    return {reinterpret_cast<const char*>(keys) + i * size, size};
  }
  // The slot of a key: that which holds it, or the empty one where it belongs.
  std::size_t slot_of(std::string_view key, std::uint64_t hash) const;
  void insert(std::string_view key, std::uint64_t hash, std::int32_t row);
  void grow();

  std::int64_t key_size_;
  std::vector<std::uint32_t> slots_;  // number of an entry + 1, 0 when empty; at most half of them are full
  std::vector<std::uint64_t> hashes_;
  std::vector<std::int32_t> rows_;
  std::vector<std::uint8_t> keys_;
};

}  // namespace bioner
