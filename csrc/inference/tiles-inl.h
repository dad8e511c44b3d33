// Products of bfloat16 and int8 in AMX tiles: 16 rows by 16 columns, 64 bytes along the sum at once. Included
// by isa-inl.h where the file is compiled for AMX; the system must have been asked for tiles (simd.cpp).
//
// Tiles are read at one stride, so the gathered rows of a block are first laid side by side. Where the sum is
// no multiple of 64 bytes, the last tile overlaps the one before it, with zeros where bytes were summed
// already: weights are read within their panel, and they must be finite. Int32 sums are exact, so int8 gives
// the bits of every other level; bfloat16 is summed in an order of its own.

namespace bioner::infer::BIONER_LEVEL {
namespace {

constexpr std::int64_t kTileRows = 16;
constexpr std::int64_t kTileBytes = 64;
// A group of 4 bytes of 16 columns is a row of a tile of weights.
constexpr std::int64_t kTileGroups = kTileBytes / 4;

// Grows and stays with its thread, as the scratch of cpu.cpp does.
inline std::uint8_t* rows_of_thread(std::size_t bytes) {
  thread_local std::vector<std::uint8_t> memory;
  if (memory.size() < bytes + 64) memory.resize(bytes + 64);
  return memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
}

// The intrinsics want the tiles' numbers as literals.
#define BIONER_TILE_PRODUCT(SUM, ROWS, WEIGHTS)  \
  if constexpr (std::is_same_v<Product, Int8>) { \
    _tile_dpbusd(SUM, ROWS, WEIGHTS);            \
  } else {                                       \
    _tile_dpbf16ps(SUM, ROWS, WEIGHTS);          \
  }

// Sums of 32 rows by kTiles * 16 columns to `sums` [32, kTiles * 16]. Tiles 0 to 3 are sums, 4 and 5 rows, 6
// and 7 weights.
template <typename Product, int kTiles>
void tile_products(const std::uint8_t* rows, std::int64_t stride, const std::uint8_t* panel,
                   std::int64_t panel_bytes, std::int64_t total, void* sums) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTiles == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  const std::int64_t last = total / 4 - kTileGroups;
  for (std::int64_t k = 0; k * kTileBytes < total; ++k) {
    const std::uint8_t* weights = panel + std::min(k * kTileGroups, last) * panel_bytes;
    _tile_loadd(4, rows + k * kTileBytes, stride);
    _tile_loadd(5, rows + k * kTileBytes + kTileRows * stride, stride);
    _tile_loadd(6, weights, panel_bytes);
    BIONER_TILE_PRODUCT(0, 4, 6)
    BIONER_TILE_PRODUCT(1, 5, 6)
    if constexpr (kTiles == 2) {
      _tile_loadd(7, weights + kTileBytes, panel_bytes);
      BIONER_TILE_PRODUCT(2, 4, 7)
      BIONER_TILE_PRODUCT(3, 5, 7)
    }
  }
  constexpr std::int64_t kStride = kTiles * kTileBytes;
  auto* out = static_cast<std::uint8_t*>(sums);
  _tile_stored(0, out, kStride);
  _tile_stored(1, out + kTileRows * kStride, kStride);
  if constexpr (kTiles == 2) {
    _tile_stored(2, out + kTileBytes, kStride);
    _tile_stored(3, out + kTileBytes + kTileRows * kStride, kStride);
  }
}

#undef BIONER_TILE_PRODUCT

// The rows of a block from their segments, `total` bytes each, in whole tiles; rows past the block are zero.
void gather_rows(const Linear& op, std::int64_t begin, std::int64_t end, std::int64_t total,
                 std::int64_t stride, std::int64_t padded, std::uint8_t* out) {
  const std::int64_t whole = total / kTileBytes * kTileBytes;
  const std::int64_t rest = total - whole;
  for (std::int64_t i = begin; i < end; ++i, out += stride) {
    const std::int32_t* index = op.index + i * op.segments;
    std::uint8_t* at = out;
    for (std::int64_t s = 0; s < op.segments; ++s) {
      std::memcpy(at, op.values + index[s] * op.stride, static_cast<std::size_t>(op.lengths[s]));
      at += op.lengths[s];
    }
    if (rest > 0) {
      std::memmove(out + stride - rest, out + whole, static_cast<std::size_t>(rest));
      std::memset(out + whole, 0, static_cast<std::size_t>(kTileBytes - rest));
    }
  }
  std::memset(out, 0, static_cast<std::size_t>((padded - (end - begin)) * stride));
}

// As linear_typed; false where the sum is shorter than a tile.
template <typename Product>
bool linear_tiles(const Linear& op, std::int64_t begin, std::int64_t end, float* scratch) {
  using Sum = typename Product::Sum;
  std::int64_t total = 0;
  for (std::int64_t s = 0; s < op.segments; ++s) total += op.lengths[s];
  if (total < kTileBytes) return false;
  constexpr std::int64_t kRows = 2 * kTileRows;
  const std::int64_t stride = (total + kTileBytes - 1) / kTileBytes * kTileBytes;
  const std::int64_t padded = (end - begin + kRows - 1) / kRows * kRows;
  std::uint8_t* const rows = rows_of_thread(static_cast<std::size_t>(padded * stride));
  gather_rows(op, begin, end, total, stride, padded, rows);
  const WholeTiles in_use;
  alignas(64) std::int32_t sums[kRows * 2 * kLanes];
  const std::uint8_t* panel = op.weights;
  for (std::int64_t first = 0; first < op.columns; first += kPanel) {
    const std::int64_t bytes = std::min(kPanel, op.columns - first) * 4;
    for (std::int64_t c = 0; c < bytes / 4;) {
      const bool pair = c + 2 * kLanes <= bytes / 4;
      const std::int64_t columns = pair ? 2 * kLanes : kLanes;
      // These columns' weights stay in the nearest cache for all rows of the block.
      for (std::int64_t r = 0; r < padded; r += kRows) {
        const auto product = pair ? tile_products<Product, 2> : tile_products<Product, 1>;
        product(rows + r * stride, stride, panel + c * 4, bytes, total, sums);
        const std::int64_t valid = std::min(kRows, end - begin - r);
        for (std::int64_t i = 0; i < valid; ++i) {
          float* const out = scratch + (r + i) * op.columns + first + c;
          for (std::int64_t v = 0; v < columns; v += kLanes) {
            Sum sum;
            std::memcpy(&sum, sums + i * columns + v, sizeof(sum));
            store(Product::finish(sum, op, first + c + v), out + v);
          }
        }
      }
      c += columns;
    }
    panel += total / 4 * bytes;
  }
  return true;
}

}  // namespace
}  // namespace bioner::infer::BIONER_LEVEL
