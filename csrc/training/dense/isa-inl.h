// Dense layers. Included once for each instruction set: BIONER_LEVEL names its namespace, BIONER_LEVEL_AMX
// says that sums are AMX tiles; without, they are vectors of AVX512-BF16.
#include <immintrin.h>
#include <math.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/core/transpose-inl.h"
#include "training/dense/kernels.h"

#if defined(BIONER_LEVEL_AMX)
#include "training/dense/sums-amx-inl.h"
#else
#include "training/dense/sums-bf16-inl.h"
#endif

namespace bioner::dense::BIONER_LEVEL {
namespace {

// Depths that are summed before the next rows: what they share stays in the nearest cache.
constexpr std::int64_t kForwardChunk = 10;
constexpr std::int64_t kBackwardChunk = 5;
// Blocks of inputs whose gradients are summed before the step takes them row by row. Adam reads so much that
// it pays to read long runs, which the processor fetches ahead.
constexpr std::int64_t kAdamRun = 64;
constexpr std::int64_t kSgdRun = 2;
constexpr std::int64_t kSums = kBlock * kBlock;

// Grows and stays with its thread.
float* sums_of_thread(std::int64_t blocks) {
  thread_local std::vector<float> memory;
  const auto needed = static_cast<std::size_t>(blocks * kSums + kTile);
  if (memory.size() < needed) memory.resize(needed);
  const std::uintptr_t address = (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64;
  return reinterpret_cast<float*>(address);
}

// Up to 32 sums to a row of a result.
BIONER_INLINE void write_row(__m512 low, __m512 high, std::int64_t count, Scalar type, void* out,
                             std::int64_t at) {
  const auto mask = static_cast<__mmask32>(count >= kBlock ? ~0U : (1U << count) - 1U);
  if (type == Scalar::kFloat32) {
    float* const to = static_cast<float*>(out) + at;
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>(mask), low);
    _mm512_mask_storeu_ps(to + kTile, static_cast<__mmask16>(mask >> kTile), high);
  } else {
    const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
    _mm512_mask_storeu_epi16(static_cast<BFloat16*>(out) + at, mask, (__m512i)both);
  }
}

// Two rows of 32 values to two rows of 16 pairs.
BIONER_INLINE void interleave(__m512i first, __m512i second, __m512i* low, __m512i* high) {
  alignas(64) static constexpr std::uint16_t kLow[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                         37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                         11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i places = _mm512_load_si512(kLow);
  *low = _mm512_permutex2var_epi16(first, places, second);
  *high = _mm512_permutex2var_epi16(first, _mm512_add_epi16(places, _mm512_set1_epi16(16)), second);
}

BIONER_INLINE __m512i rounded(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// The words of 16 rows, as a tile of a panel.
BIONER_INLINE void write_columns(const __m512i* rows, BFloat16* tile) {
  Words words[kTile];
  for (int r = 0; r < kTile; ++r) words[r] = reinterpret_cast<Words>(rows[r]);
  transpose(words);
  std::memcpy(tile, words, sizeof words);
}

// The numbers of a step, once in each lane.
struct Rates {
  explicit Rates(const Step& op)
      : size(_mm512_set1_ps(op.size)),
        beta1(_mm512_set1_ps(op.beta1)),
        beta2(_mm512_set1_ps(op.beta2)),
        rest1(_mm512_set1_ps(op.rest1)),
        rest2(_mm512_set1_ps(op.rest2)),
        epsilon(_mm512_set1_ps(op.epsilon)),
        decay(_mm512_set1_ps(op.decay)) {}
  __m512 size, beta1, beta2, rest1, rest2, epsilon, decay;
};

// Sixteen weights from their gradients; returns the new ones.
template <bool kAdam>
BIONER_INLINE __m512 update(const Step& op, const Rates& by, std::int64_t at, __mmask16 mask, __m512 grad) {
  __m512 weights = _mm512_maskz_loadu_ps(mask, op.weights + at);
  if constexpr (kAdam) {
    const __m512 first = _mm512_add_ps(_mm512_mul_ps(by.beta1, _mm512_maskz_loadu_ps(mask, op.first + at)),
                                       _mm512_mul_ps(by.rest1, grad));
    const __m512 second = _mm512_add_ps(_mm512_mul_ps(by.beta2, _mm512_maskz_loadu_ps(mask, op.second + at)),
                                        _mm512_mul_ps(by.rest2, _mm512_mul_ps(grad, grad)));
    _mm512_mask_storeu_ps(op.first + at, mask, first);
    _mm512_mask_storeu_ps(op.second + at, mask, second);
    const __m512 ratio = _mm512_div_ps(
        first, _mm512_add_ps(_mm512_maskz_sqrt_ps(static_cast<__mmask16>(-1), second), by.epsilon));
    weights = _mm512_sub_ps(_mm512_mul_ps(by.decay, weights), _mm512_mul_ps(by.size, ratio));
  } else {
    weights = _mm512_sub_ps(weights, _mm512_mul_ps(by.size, grad));
  }
  _mm512_mask_storeu_ps(op.weights + at, mask, weights);
  return _mm512_maskz_mov_ps(mask, weights);
}

// A row of weights, and of their rounded blocks.
template <bool kAdam>
void update_row(const Step& op, const Rates& by, std::int64_t at, std::int64_t count, const float* grad,
                BFloat16* low) {
  for (std::int64_t c = 0; c < count; c += kBlock, low += kBlockValues) {
    const auto mask = static_cast<__mmask32>(count - c >= kBlock ? ~0U : (1U << (count - c)) - 1U);
    const __m512 left = update<kAdam>(op, by, at + c, static_cast<__mmask16>(mask), _mm512_load_ps(grad + c));
    const __m512 right = update<kAdam>(op, by, at + c + kTile, static_cast<__mmask16>(mask >> kTile),
                                       _mm512_load_ps(grad + c + kTile));
    _mm512_storeu_si512(low, rounded(left, right));
  }
}

void forward(const Forward& op, std::int64_t begin, std::int64_t end) {
  const SumUnits in_use;
  const std::int64_t depth = depths(op.inputs);
  const std::int64_t beside = depth * kTileValues;
  float* const sums = sums_of_thread(depths(op.rows));
  for (std::int64_t o = begin; o < end; ++o) {
    const BFloat16* const weights = op.weights + o * depth * kBlockValues;
    for (std::int64_t d = 0; d < depth; d += kForwardChunk) {
      const std::int64_t count = std::min(kForwardChunk, depth - d);
      for (std::int64_t n = 0; n < depths(op.rows); ++n) {
        const auto sum = n * 2 + 1 < tiles(op.rows) ? block<2, 2> : block<2, 1>;
        sum(weights + d * kBlockValues, kDepth, kBlockValues, op.x + n * 2 * beside + d * kTileValues, beside,
            count * kDepth, sums + n * kSums, kBlock, d == 0);
      }
    }
    // Sums have a row for each output.
    for (std::int64_t row = 0; row < op.rows; row += kTile) {
      const float* const from = sums + row / kBlock * kSums + row % kBlock;
      Words low[kTile];
      Words high[kTile];
      for (int r = 0; r < kTile; ++r) {
        std::memcpy(&low[r], from + r * kBlock, sizeof low[r]);
        std::memcpy(&high[r], from + (kTile + r) * kBlock, sizeof high[r]);
      }
      transpose(low);
      transpose(high);
      for (std::int64_t r = 0; r < std::min(kTile, op.rows - row); ++r) {
        write_row(reinterpret_cast<__m512>(low[r]), reinterpret_cast<__m512>(high[r]),
                  op.outputs - o * kBlock, op.output, op.out, (row + r) * op.outputs + o * kBlock);
      }
    }
  }
}

void backward(const Backward& op, std::int64_t begin, std::int64_t end) {
  const SumUnits in_use;
  const std::int64_t depth = depths(op.outputs);
  const std::int64_t across = depths(op.inputs);
  float* const sums = sums_of_thread(depths(op.rows));
  constexpr std::int64_t kBeside = kBackwardChunk * kTileValues;
  alignas(64) BFloat16 panel[2 * kBeside];
  for (std::int64_t i = begin; i < end; ++i) {
    for (std::int64_t d = 0; d < depth; d += kBackwardChunk) {
      const std::int64_t count = std::min(kBackwardChunk, depth - d);
      for (std::int64_t b = 0; b < count; ++b) {
        const BFloat16* const from = op.weights + ((d + b) * across + i) * kBlockValues;
        BFloat16* const to = panel + b * kTileValues;
        for (std::int64_t pair = 0; pair < kTile; ++pair) {
          __m512i low, high;
          interleave(_mm512_loadu_si512(from + 2 * pair * kDepth),
                     _mm512_loadu_si512(from + (2 * pair + 1) * kDepth), &low, &high);
          _mm512_store_si512(to + pair * kDepth, low);
          _mm512_store_si512(to + kBeside + pair * kDepth, high);
        }
      }
      for (std::int64_t row = 0; row < op.rows; row += kBlock) {
        const auto sum = op.rows - row > kTile ? block<2, 2> : block<1, 2>;
        sum(op.grad + row * op.grad_stride + d * kDepth, op.grad_stride, kDepth, panel, kBeside,
            count * kDepth, sums + row * kBlock, kBlock, d == 0);
      }
    }
    for (std::int64_t row = 0; row < op.rows; ++row) {
      const float* const from = sums + row * kBlock;
      write_row(_mm512_load_ps(from), _mm512_load_ps(from + kTile), op.inputs - i * kBlock, op.output, op.out,
                row * op.inputs + i * kBlock);
    }
  }
}

void operand(const Operand& op, std::int64_t begin, std::int64_t end) {
  const std::int64_t over_rows = depths(op.rows);
  const std::int64_t over_columns = depths(op.columns);
  for (std::int64_t d = begin; d < end; ++d) {
    for (std::int64_t c = 0; c < over_columns; ++c) {
      const std::int64_t count = std::min(kDepth, op.columns - c * kDepth);
      const auto mask = static_cast<__mmask32>(count == kDepth ? ~0U : (1U << count) - 1U);
      __m512i rows[kDepth];
      for (std::int64_t r = 0; r < kDepth; ++r) {
        const std::int64_t row = d * kDepth + r;
        rows[r] = _mm512_setzero_si512();
        if (row >= op.rows) continue;
        const std::int64_t at = (op.starts != nullptr ? op.starts[row] : row) * op.stride + c * kDepth;
        if (op.input == Scalar::kFloat32) {
          const float* const from = static_cast<const float*>(op.values) + at;
          rows[r] = rounded(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from),
                            _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> kTile), from + kTile));
        } else {
          rows[r] = _mm512_maskz_loadu_epi16(mask, static_cast<const BFloat16*>(op.values) + at);
        }
      }
      for (std::int64_t half = 0; half < 2 && d * 2 + half < tiles(op.rows); ++half) {
        write_columns(rows + half * kTile,
                      op.over_columns + ((d * 2 + half) * over_columns + c) * kTileValues);
      }
      BFloat16* const left = op.over_rows + (c * 2 * over_rows + d) * kTileValues;
      BFloat16* const right = left + over_rows * kTileValues;
      for (std::int64_t pair = 0; pair < kTile; ++pair) {
        __m512i low, high;
        interleave(rows[2 * pair], rows[2 * pair + 1], &low, &high);
        _mm512_storeu_si512(left + pair * 32, low);
        if (count > kTile) _mm512_storeu_si512(right + pair * 32, high);
      }
    }
  }
}

void step(const Step& op, std::int64_t begin, std::int64_t end) {
  const SumUnits in_use;
  const Rates by(op);
  const std::int64_t depth = depths(op.rows);
  const std::int64_t beside = depth * kTileValues;
  const std::int64_t across = depths(op.inputs);
  const std::int64_t run = op.first != nullptr ? kAdamRun : kSgdRun;
  const auto update_of = op.first != nullptr ? update_row<true> : update_row<false>;
  float* const sums = sums_of_thread(run);
  for (std::int64_t o = begin; o < end; ++o) {
    const BFloat16* const grad = op.grad + o * kBlock * op.grad_stride;
    for (std::int64_t first = 0; first < across; first += run) {
      const std::int64_t last = std::min(across, first + run);
      for (std::int64_t i = first; i < last; ++i) {
        const auto sum = i * 2 + 1 < tiles(op.inputs) ? block<2, 2> : block<2, 1>;
        sum(grad, op.grad_stride, kDepth, op.x + i * 2 * beside, beside, op.rows, sums + (i - first) * kBlock,
            run * kBlock, true);
      }
      const std::int64_t count = std::min(op.inputs, last * kBlock) - first * kBlock;
      BFloat16* const low = op.low + (o * across + first) * kBlockValues;
      for (std::int64_t r = 0; r < std::min(kBlock, op.outputs - o * kBlock); ++r) {
        const std::int64_t at = (o * kBlock + r) * op.inputs + first * kBlock;
        update_of(op, by, at, count, sums + r * run * kBlock, low + r * kDepth);
      }
    }
  }
}

}  // namespace

const Kernels kernels{forward, backward, operand, step};

}  // namespace bioner::dense::BIONER_LEVEL
