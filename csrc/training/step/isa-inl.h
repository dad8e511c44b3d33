// Bodies of the training-step kernels; compiled once per SIMD level, each in a namespace of its own
// (BIONER_LEVEL). Plain loops that the compiler vectorises.

#include <math.h>

#include "base/core/transpose-inl.h"
#include "training/step/isa.h"

// After what it needs.
#include "training/step/head-inl.h"
#include "training/step/rows-inl.h"

namespace bioner::step::BIONER_LEVEL {
namespace {

// Gradients are made in tiles, so that their transpose is written in runs.
constexpr std::int64_t kTileRows = 32;
constexpr std::int64_t kTileColumns = kColumns;

template <typename T>
BIONER_INLINE T positive(T x) {
  return x > T(0) ? x : T(0);
}

BIONER_INLINE std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// ---- positions

template <typename T, typename G>
void activate_typed(const Positions& op, std::int64_t begin, std::int64_t end) {
  const T* BIONER_RESTRICT bias = static_cast<const T*>(op.bias);
  for (std::int64_t r = begin; r < end; ++r) {
    G* BIONER_RESTRICT row = static_cast<G*>(op.values) + r * op.filters;
    for (std::int64_t f = 0; f < op.filters; ++f) {
      row[f] = ScalarTraits<G>::store(positive<T>(load_scalar(row[f]) + bias[f]));
    }
  }
}

template <typename T, typename G>
void place_typed(const Positions& op, std::int64_t begin, std::int64_t end) {
  const std::int64_t run = op.slots * op.filters;  // consecutive positions of one width lie side by side
  for (std::int64_t n = begin; n < end; ++n) {
    const G* BIONER_RESTRICT from = static_cast<const G*>(op.values) + op.starts[n] * op.filters;
    G* BIONER_RESTRICT to = static_cast<G*>(op.features) + n * op.stride + op.column;
    for (std::int64_t i = 0; i < run; ++i) to[i] = from[i];
  }
}

BIONER_INLINE std::uint32_t pair(float low, float high) {
  return static_cast<std::uint32_t>(ScalarTraits<BFloat16>::store(low).bits) |
         static_cast<std::uint32_t>(ScalarTraits<BFloat16>::store(high).bits) << 16;
}

// Column c of a tile to `to` + c * stride.
template <typename T, typename G>
BIONER_INLINE void write_columns(const T (*tile)[kTileColumns], std::int64_t rows, std::int64_t columns,
                                 G* to, std::int64_t stride) {
#if defined(__GNUC__)
  if constexpr (sizeof(G) == 2) {
    if (rows == kTileRows) {
      // Two rows are one row of words: their columns are columns of words.
      for (std::int64_t half = 0; half < columns; half += 16) {
        Words words[16];
        for (int i = 0; i < 16; ++i) {
          std::uint32_t made[16];
          for (int c = 0; c < 16; ++c) made[c] = pair(tile[2 * i][half + c], tile[2 * i + 1][half + c]);
          memcpy(&words[i], made, sizeof made);
        }
        transpose(words);
        const std::int64_t count = smaller(16, columns - half);
        for (std::int64_t c = 0; c < count; ++c) memcpy(to + (half + c) * stride, &words[c], sizeof words[c]);
      }
      return;
    }
  }
#endif
  for (std::int64_t c = 0; c < columns; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) to[c * stride + r] = ScalarTraits<G>::store(tile[r][c]);
  }
}

// A tile of gradients, zero beyond its rows and columns: sums for the bias, rows, and columns. The zeros are
// written too where strides leave room.
template <typename T, typename G>
BIONER_INLINE void write_tile(const T (*tile)[kTileColumns], std::int64_t rows, std::int64_t columns,
                              std::int64_t first_row, std::int64_t first_column, std::int64_t row_stride,
                              std::int64_t column_stride, G* to_rows, G* to_columns, T* sums) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < kTileColumns; ++c) sums[c] += tile[r][c];
  }
  if (to_rows != nullptr) {
    const std::int64_t room = smaller(kTileColumns, row_stride - first_column);
    for (std::int64_t r = 0; r < rows; ++r) {
      G* BIONER_RESTRICT row = to_rows + (first_row + r) * row_stride + first_column;
      if (room == kTileColumns) {
        for (std::int64_t c = 0; c < kTileColumns; ++c) row[c] = ScalarTraits<G>::store(tile[r][c]);
      } else {
        for (std::int64_t c = 0; c < room; ++c) row[c] = ScalarTraits<G>::store(tile[r][c]);
      }
    }
  }
  if (to_columns != nullptr) {
    const std::int64_t room = smaller(kTileRows, column_stride - first_row);
    write_columns<T, G>(tile, room, columns, to_columns + first_column * column_stride + first_row,
                        column_stride);
  }
}

template <typename T, typename G>
void positions_grad_typed(const Positions& op, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = op.filters;
  T tile[kTileRows][kTileColumns] = {};
  for (std::int64_t f = begin; f < end; f += kTileColumns) {
    const std::int64_t columns = smaller(kTileColumns, end - f);
    T sums[kTileColumns] = {};
    std::int64_t token = 0;  // the first whose window may still hold the row
    for (std::int64_t first = 0; first < op.rows; first += kTileRows) {
      const std::int64_t rows = smaller(kTileRows, op.rows - first);
      if (rows < kTileRows || columns < kTileColumns) memset(tile, 0, sizeof tile);
      for (std::int64_t r = 0; r < rows; ++r) {
        T* BIONER_RESTRICT out = tile[r];
        for (std::int64_t c = 0; c < kTileColumns; ++c) out[c] = T(0);
        const std::int64_t position = first + r;
        while (token < op.tokens && op.starts[token] + op.slots <= position) ++token;
        for (std::int64_t n = token; n < op.tokens && op.starts[n] <= position; ++n) {
          const G* BIONER_RESTRICT grad = static_cast<const G*>(op.features) + n * op.stride + op.column +
                                          (position - op.starts[n]) * width + f;
          for (std::int64_t c = 0; c < columns; ++c) out[c] += load_scalar(grad[c]);
        }
        const G* BIONER_RESTRICT value = static_cast<const G*>(op.values) + position * width + f;
        for (std::int64_t c = 0; c < columns; ++c) out[c] = load_scalar(value[c]) > T(0) ? out[c] : T(0);
      }
      write_tile<T, G>(tile, rows, columns, first, f, op.row_stride, op.column_stride,
                       static_cast<G*>(op.grad_rows), static_cast<G*>(op.grad_columns), sums);
    }
    for (std::int64_t c = 0; c < columns; ++c) static_cast<T*>(op.grad_bias)[f + c] = sums[c];
  }
}

// ---- units

template <typename T, typename G, typename E, bool kDrop>
void units_as(const Units& op, std::int64_t begin, std::int64_t end) {
  const T* BIONER_RESTRICT bias = static_cast<const T*>(op.bias);
  const gated::Drop drop = op.drop;
  const T scale = static_cast<T>(drop.scale);
  for (std::int64_t n = begin; n < end; ++n) {
    const G* BIONER_RESTRICT sums = static_cast<const G*>(op.sums) + n * op.width;
    E* BIONER_RESTRICT out = static_cast<E*>(op.out) + n * op.width;
    const auto number = static_cast<std::uint32_t>(n * op.width);
    for (std::int64_t h = 0; h < op.width; ++h) {
      const T value = positive<T>(load_scalar(sums[h]) + bias[h]);
      T kept = value;
      if constexpr (kDrop) {
        const bool keeps = gated::drop_bits(drop, number + static_cast<std::uint32_t>(h)) < drop.threshold;
        kept = keeps ? value * scale : T(0);
      }
      out[h] = ScalarTraits<E>::store(kept);
    }
  }
}

// What is not zero was kept, and positive before.
template <typename T, typename G, typename E>
void units_grad_as(const Units& op, std::int64_t begin, std::int64_t end) {
  const T scale = op.drop.threshold != 0 ? static_cast<T>(op.drop.scale) : T(1);
  const auto passes = [scale](E value, E grad) {
    return load_scalar(value) > T(0) ? load_scalar(grad) * scale : T(0);
  };
  T tile[kTileRows][kTileColumns] = {};
  for (std::int64_t h = begin; h < end; h += kTileColumns) {
    const std::int64_t columns = smaller(kTileColumns, end - h);
    T sums[kTileColumns] = {};
    for (std::int64_t first = 0; first < op.tokens; first += kTileRows) {
      const std::int64_t rows = smaller(kTileRows, op.tokens - first);
      if (rows < kTileRows || columns < kTileColumns) memset(tile, 0, sizeof tile);
      for (std::int64_t r = 0; r < rows; ++r) {
        const E* BIONER_RESTRICT grad = static_cast<const E*>(op.grad) + (first + r) * op.width + h;
        const E* BIONER_RESTRICT value = static_cast<const E*>(op.out) + (first + r) * op.width + h;
        T* BIONER_RESTRICT out = tile[r];
        if (columns == kTileColumns) {
          BIONER_APART
          for (std::int64_t c = 0; c < kTileColumns; ++c) out[c] = passes(value[c], grad[c]);
        } else {
          for (std::int64_t c = 0; c < columns; ++c) out[c] = passes(value[c], grad[c]);
        }
      }
      write_tile<T, G>(tile, rows, columns, first, h, op.row_stride, op.column_stride,
                       static_cast<G*>(op.grad_rows), static_cast<G*>(op.grad_columns), sums);
    }
    for (std::int64_t c = 0; c < columns; ++c) static_cast<T*>(op.grad_bias)[h + c] = sums[c];
  }
}

template <typename T, typename G>
void units_typed(const Units& op, std::int64_t begin, std::int64_t end) {
  if (op.drop.threshold != 0) {
    op.output == op.product ? units_as<T, G, G, true>(op, begin, end)
                            : units_as<T, G, T, true>(op, begin, end);
  } else {
    op.output == op.product ? units_as<T, G, G, false>(op, begin, end)
                            : units_as<T, G, T, false>(op, begin, end);
  }
}

template <typename T, typename G>
void units_grad_typed(const Units& op, std::int64_t begin, std::int64_t end) {
  op.output == op.product ? units_grad_as<T, G, G>(op, begin, end) : units_grad_as<T, G, T>(op, begin, end);
}

// ---- adam

template <typename T, typename G>
void adam_typed(const Adam& op, std::int64_t begin, std::int64_t end) {
  const G* BIONER_RESTRICT grad = static_cast<const G*>(op.grad);
  T* BIONER_RESTRICT values = static_cast<T*>(op.values);
  T* BIONER_RESTRICT first = static_cast<T*>(op.first);
  T* BIONER_RESTRICT second = static_cast<T*>(op.second);
  G* BIONER_RESTRICT low = static_cast<G*>(op.low);
  const T beta1 = static_cast<T>(op.beta1);
  const T beta2 = static_cast<T>(op.beta2);
  const T rest1 = static_cast<T>(1.0 - op.beta1);
  const T rest2 = static_cast<T>(1.0 - op.beta2);
  const T size = static_cast<T>(op.size);
  const T epsilon = static_cast<T>(op.epsilon);
  const T decay = static_cast<T>(op.decay);
  const auto update = [&](std::int64_t i) {
    const T g = load_scalar(grad[i]);
    const T m = beta1 * first[i] + rest1 * g;
    const T v = beta2 * second[i] + rest2 * (g * g);
    first[i] = m;
    second[i] = v;
    const T root =
        sizeof(T) == 4 ? static_cast<T>(::sqrtf(static_cast<float>(v))) : static_cast<T>(::sqrt(v));
    const T value = decay * values[i] - size * (m / (root + epsilon));
    values[i] = value;
    return value;
  };
  if (low == nullptr) {
    BIONER_APART
    for (std::int64_t i = begin; i < end; ++i) update(i);
  } else {
    BIONER_APART
    for (std::int64_t i = begin; i < end; ++i) low[i] = ScalarTraits<G>::store(update(i));
  }
}

template <typename T, typename G>
void sgd_typed(const Sgd& op, std::int64_t begin, std::int64_t end) {
  const G* BIONER_RESTRICT grad = static_cast<const G*>(op.grad);
  T* BIONER_RESTRICT values = static_cast<T*>(op.values);
  G* BIONER_RESTRICT low = static_cast<G*>(op.low);
  const T rate = static_cast<T>(op.rate);
  if (low == nullptr) {
    for (std::int64_t i = begin; i < end; ++i) values[i] -= rate * load_scalar(grad[i]);
    return;
  }
  BIONER_APART
  for (std::int64_t i = begin; i < end; ++i) {
    const T value = values[i] - rate * load_scalar(grad[i]);
    values[i] = value;
    low[i] = ScalarTraits<G>::store(value);
  }
}

// ---- by type

#define BIONER_BY_TYPE(name, Op, other)                           \
  void name(const Op& op, std::int64_t begin, std::int64_t end) { \
    if (op.scalar == Scalar::kFloat64) {                          \
      name##_typed<double, double>(op, begin, end);               \
    } else if (op.other == Scalar::kBFloat16) {                   \
      name##_typed<float, BFloat16>(op, begin, end);              \
    } else {                                                      \
      name##_typed<float, float>(op, begin, end);                 \
    }                                                             \
  }

BIONER_BY_TYPE(activate, Positions, product)
BIONER_BY_TYPE(place, Positions, product)
BIONER_BY_TYPE(positions_grad, Positions, product)
BIONER_BY_TYPE(units, Units, product)
BIONER_BY_TYPE(units_grad, Units, product)
BIONER_BY_TYPE(adam, Adam, gradient)
BIONER_BY_TYPE(sgd, Sgd, gradient)
#undef BIONER_BY_TYPE

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {activate, place,    positions_grad, units, units_grad, adam,        sgd,
                         rows,     rows_sgd, rows_also,      fold,  head_rows,  head_columns};

}  // namespace bioner::step::BIONER_LEVEL
