// Sums of products in vectors of AVX512-BF16, of what is laid out for AMX tiles.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "base/core/macros.h"
#include "training/dense/dense.h"

namespace bioner::dense::BIONER_LEVEL {
namespace {

struct SumUnits {
  SumUnits() {}
};

// Rows whose sums are in registers together: with those of two panels half of them.
constexpr int kRegisterRows = 8;

// Two values of a row in each lane.
BIONER_INLINE __m512bh pair_of(const BFloat16* values) {
  std::int32_t pair;
  std::memcpy(&pair, values, sizeof pair);
  return (__m512bh)_mm512_set1_epi32(pair);
}

BIONER_INLINE __m512bh pairs_of(const BFloat16* panel) { return (__m512bh)_mm512_loadu_si512(panel); }

// As in tiles (sums-amx-inl.h), but of the last depth only what is summed is read.
template <int kRows, int kColumns>
void block(const BFloat16* rows, std::int64_t stride, std::int64_t next, const BFloat16* panel,
           std::int64_t beside, std::int64_t summed, float* sums, std::int64_t sums_stride, bool first) {
  for (int group = 0; group < kRows * kTile; group += kRegisterRows) {
    const BFloat16* const from = rows + group * stride;
    float* const to = sums + group * sums_stride;
    __m512 made[kRegisterRows][kColumns];
#pragma GCC unroll 8
    for (int r = 0; r < kRegisterRows; ++r) {
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) {
        made[r][c] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(to + r * sums_stride + c * kTile);
      }
    }
    for (std::int64_t d = 0; d < depths(summed); ++d) {
      const BFloat16* const left = panel + d * kTileValues;
      const std::int64_t pairs = std::min(kTile, (summed - d * kDepth + 1) / 2);
      for (std::int64_t pair = 0; pair < pairs; ++pair) {
        const BFloat16* const at = from + d * next + 2 * pair;
        __m512bh columns[kColumns];
#pragma GCC unroll 2
        for (int c = 0; c < kColumns; ++c) columns[c] = pairs_of(left + c * beside + pair * kDepth);
#pragma GCC unroll 8
        for (int r = 0; r < kRegisterRows; ++r) {
          const __m512bh row = pair_of(at + r * stride);
#pragma GCC unroll 2
          for (int c = 0; c < kColumns; ++c) made[r][c] = _mm512_dpbf16_ps(made[r][c], row, columns[c]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRegisterRows; ++r) {
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) _mm512_storeu_ps(to + r * sums_stride + c * kTile, made[r][c]);
    }
  }
}

}  // namespace
}  // namespace bioner::dense::BIONER_LEVEL
