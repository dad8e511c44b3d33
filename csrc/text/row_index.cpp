#include "text/row_index.h"

#include "text/hash_index.h"

namespace bioner {

std::size_t RowIndex::slot_of(std::string_view wanted, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = static_cast<std::size_t>(hash) & mask;; slot = (slot + 1) & mask) {
    if (slots_[slot] == 0) return slot;
    const std::size_t entry = slots_[slot] - 1;
    if (hashes_[entry] == hash && key_of(keys_.data(), entry) == wanted) return slot;
  }
}

void RowIndex::find(const std::uint8_t* keys, std::int64_t n, std::int32_t* rows) const {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::string_view wanted = key_of(keys, static_cast<std::size_t>(i));
    const std::uint32_t entry = slots_[slot_of(wanted, hash_bytes(wanted))];
    rows[i] = entry == 0 ? 0 : rows_[entry - 1];
  }
}

void RowIndex::insert(const std::uint8_t* keys, const std::int64_t* which, std::int64_t n,
                      std::int32_t first) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::string_view added = key_of(keys, static_cast<std::size_t>(which[i]));
    insert(added, hash_bytes(added), first + static_cast<std::int32_t>(i));
  }
}

RowIndex RowIndex::kept(const std::int32_t* place) const {
  RowIndex made(key_size_);
  for (std::size_t entry = 0; entry < rows_.size(); ++entry) {
    if (const std::int32_t row = place[rows_[entry]]; row > 0) {
      made.insert(key_of(keys_.data(), entry), hashes_[entry], row);
    }
  }
  return made;
}

void RowIndex::insert(std::string_view added, std::uint64_t hash, std::int32_t row) {
  const std::size_t slot = slot_of(added, hash);
  if (slots_[slot] != 0) {
    rows_[slots_[slot] - 1] = row;
    return;
  }
  keys_.insert(keys_.end(), added.begin(), added.end());
  hashes_.push_back(hash);
  rows_.push_back(row);
  slots_[slot] = static_cast<std::uint32_t>(rows_.size());
  if (2 * rows_.size() > slots_.size()) grow();
}

void RowIndex::grow() {
  slots_.assign(2 * slots_.size(), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t entry = 0; entry < hashes_.size(); ++entry) {
    std::size_t slot = static_cast<std::size_t>(hashes_[entry]) & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<std::uint32_t>(entry + 1);
  }
}

}  // namespace bioner
