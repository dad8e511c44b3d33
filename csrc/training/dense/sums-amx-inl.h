// Sums of products in AMX tiles.
#include "base/core/macros.h"
#include "base/core/tiles-inl.h"
#include "training/dense/dense.h"

namespace bioner::dense::BIONER_LEVEL {
namespace {

using SumUnits = WholeTiles;

// Bytes between the rows of a tile of a panel.
constexpr std::int64_t kPairBytes = 64;

// Tiles are whole, because matrices have room for that. Sums of 16 or 32 rows by 16 or 32 columns over
// `summed` values, added to `sums` [kBlock rows of `sums_stride`] or, where they are the first, stored there.
// Blocks of rows are `next` values apart, the panel of the second 16 columns is `beside` values further.
template <int kRows, int kColumns>
BIONER_INLINE void block(const BFloat16* rows, std::int64_t stride, std::int64_t next, const BFloat16* panel,
                         std::int64_t beside, std::int64_t summed, float* sums, std::int64_t sums_stride,
                         bool first) {
  const std::int64_t bytes = stride * 2;
  const std::int64_t sums_bytes = sums_stride * 4;
  const BFloat16* const below = rows + kTile * stride;
  float* const sums_below = sums + kTile * sums_stride;
  if (first) {
    _tile_zero(0);
    if constexpr (kColumns == 2) _tile_zero(1);
    if constexpr (kRows == 2) _tile_zero(2);
    if constexpr (kRows == 2 && kColumns == 2) _tile_zero(3);
  } else {
    _tile_loadd(0, sums, sums_bytes);
    if constexpr (kColumns == 2) _tile_loadd(1, sums + kTile, sums_bytes);
    if constexpr (kRows == 2) _tile_loadd(2, sums_below, sums_bytes);
    if constexpr (kRows == 2 && kColumns == 2) _tile_loadd(3, sums_below + kTile, sums_bytes);
  }
  for (std::int64_t d = 0; d < depths(summed); ++d) {
    _tile_loadd(4, rows + d * next, bytes);
    _tile_loadd(6, panel + d * kTileValues, kPairBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kColumns == 2) {
      _tile_loadd(7, panel + beside + d * kTileValues, kPairBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kRows == 2) {
      _tile_loadd(5, below + d * next, bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kColumns == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, sums_bytes);
  if constexpr (kColumns == 2) _tile_stored(1, sums + kTile, sums_bytes);
  if constexpr (kRows == 2) _tile_stored(2, sums_below, sums_bytes);
  if constexpr (kRows == 2 && kColumns == 2) _tile_stored(3, sums_below + kTile, sums_bytes);
}

}  // namespace
}  // namespace bioner::dense::BIONER_LEVEL
