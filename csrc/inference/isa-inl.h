// The kernels of one SIMD level, in the namespace BIONER_LEVEL. See lanes-inl.h for the vectors.
#include <algorithm>
#include <cmath>
#include <limits>
#if defined(BIONER_LEVEL_AMX)
#include <type_traits>
#include <vector>

#include "base/core/tiles-inl.h"
#endif

#include "inference/kernels.h"
#include "inference/lanes-inl.h"

// Sums have to stay in registers, so loops over them have no counter; arrays of lanes are loops already.
#if defined(BIONER_LEVEL_SCALAR)
#define BIONER_UNROLL(COUNT)
#else
#define BIONER_PRAGMA(TEXT) _Pragma(#TEXT)
#define BIONER_UNROLL(COUNT) BIONER_PRAGMA(GCC unroll COUNT)
#endif

#include "inference/products-inl.h"

namespace bioner::infer::BIONER_LEVEL {
namespace {

// kTile rows by kVectors vectors of columns. `rows` are the index rows; those past `valid` repeat the last.
template <typename Product, int kVectors>
BIONER_INLINE void tile(const Linear& op, const std::int32_t* const* rows, int valid,
                        const std::uint8_t* panel, std::int64_t panel_bytes, std::int64_t column,
                        float* const* out) {
  using Sum = typename Product::Sum;
  Sum sums[kTile][kVectors] = {};
  for (std::int64_t s = 0; s < op.segments; ++s) {
    const std::uint8_t* values[kTile];
    for (int r = 0; r < kTile; ++r) values[r] = op.values + rows[r][s] * op.stride;
    const std::int64_t length = op.lengths[s];
    for (std::int64_t k = 0; k < length; k += 4) {
      BIONER_UNROLL(8)
      for (int r = 0; r < kTile; ++r) {
        std::int32_t group;
        std::memcpy(&group, values[r] + k, sizeof(group));
        const auto row = Product::spread(group);
        BIONER_UNROLL(4)
        for (int v = 0; v < kVectors; ++v) {
          sums[r][v] = Product::accumulate(sums[r][v], row, panel + v * 64);
        }
      }
      panel += panel_bytes;
    }
  }
  BIONER_UNROLL(8)
  for (int r = 0; r < kTile; ++r) {
    if (r < valid) {
      for (int v = 0; v < kVectors; ++v) {
        store(Product::finish(sums[r][v], op, column + v * kLanes), out[r] + column + v * kLanes);
      }
    }
  }
}

template <typename Product>
void linear_typed(const Linear& op, std::int64_t begin, std::int64_t end, float* scratch) {
  std::int64_t groups = 0;
  for (std::int64_t s = 0; s < op.segments; ++s) groups += op.lengths[s] / 4;
  const std::uint8_t* panel = op.weights;
  for (std::int64_t first = 0; first < op.columns; first += kPanel) {
    const std::int64_t width = std::min(kPanel, op.columns - first);
    const std::int64_t bytes = width * 4;
    for (std::int64_t row = begin; row < end; row += kTile) {
      const int valid = static_cast<int>(std::min<std::int64_t>(kTile, end - row));
      const std::int32_t* rows[kTile];
      float* out[kTile];
      for (int r = 0; r < kTile; ++r) {
        const std::int64_t one = row + std::min(r, valid - 1);
        rows[r] = op.index + one * op.segments;
        out[r] = scratch + (one - begin) * op.columns;
      }
      std::int64_t c = 0;
      if constexpr (Product::kVectors == 4) {
        if (width == kPanel) {
          tile<Product, 4>(op, rows, valid, panel, bytes, first, out);
          c = kPanel;
        }
      }
      if constexpr (Product::kVectors >= 2) {
        for (; c + 2 * kLanes <= width; c += 2 * kLanes) {
          tile<Product, 2>(op, rows, valid, panel + c * 4, bytes, first + c, out);
        }
      }
      for (; c < width; c += kLanes) tile<Product, 1>(op, rows, valid, panel + c * 4, bytes, first + c, out);
    }
    panel += groups * bytes;
  }
}

}  // namespace
}  // namespace bioner::infer::BIONER_LEVEL

#if defined(BIONER_LEVEL_AMX)
#include "inference/tiles-inl.h"
#endif

namespace bioner::infer::BIONER_LEVEL {
namespace {

void linear(const Linear& op, std::int64_t begin, std::int64_t end, float* scratch) {
#if defined(BIONER_LEVEL_AMX)
  if (op.type == Type::kBFloat16 && linear_tiles<BFloat16>(op, begin, end, scratch)) return;
  if (op.type == Type::kInt8 && linear_tiles<Int8>(op, begin, end, scratch)) return;
#endif
  if (op.type == Type::kFloat32) return linear_typed<Float32>(op, begin, end, scratch);
  if (op.type == Type::kBFloat16) return linear_typed<BFloat16>(op, begin, end, scratch);
  linear_typed<Int8>(op, begin, end, scratch);
}

// ---- Sums of table rows

void table_sum(const TableSum& op, std::int64_t begin, std::int64_t end, float* scratch) {
  const std::int64_t columns = op.groups * op.width;
  for (std::int64_t i = begin; i < end; ++i) {
    float* out = scratch + (i - begin) * columns;
    const std::int32_t* index = op.index + i * op.index_step;
    for (std::int64_t g = 0; g < op.groups; ++g) {
      const std::int64_t first = op.first_parts[g];
      for (std::int64_t c = 0; c < op.width; c += kLanes) {
        const std::int64_t column = g * op.width + c;
        F x;
        if (op.narrow) {
          const auto* table = static_cast<const std::int16_t*>(op.table) + first + c;
          I s = splat(std::int32_t{0});
          for (int tap = 0; tap < op.taps[g]; ++tap)
            s = s + widen(table + index[tap] * op.stride + tap * op.width);
          x = to_float(s) * load(op.scale + column) + load(op.bias + column);
        } else {
          const auto* table = static_cast<const float*>(op.table) + first + c;
          x = load(op.bias + column);
          for (int tap = 0; tap < op.taps[g]; ++tap)
            x = x + load(table + index[tap] * op.stride + tap * op.width);
        }
        store(x, out + column);
      }
    }
  }
}

// ---- What follows

BIONER_LANE void put(const Epilogue& op, F y, std::int64_t column, std::uint8_t* next) {
  if (op.next_type == Type::kFloat32) {
    store(y, reinterpret_cast<float*>(next));
  } else if (op.next_type == Type::kBFloat16) {
    const I word = bits(y);  // round to nearest, ties to even
    const I odd = both(shift_right<16>(word), splat(std::int32_t{1}));
    narrow<std::int16_t>(shift_right<16>(word + odd + splat(std::int32_t{0x7FFF})), next);
  } else if (op.next_type == Type::kInt16) {
    const F scaled = y * load(op.next_scale + column);
    narrow<std::int16_t>(nearest(larger(smaller(scaled, splat(32767.0F)), splat(-32767.0F))), next);
  } else {
    F scaled = y * load(op.next_scale + column) + splat(op.next_zero);
    scaled = larger(smaller(scaled, splat(255.0F)), splat(0.0F));
    narrow<std::uint8_t>(nearest(scaled), next);
  }
}

constexpr std::int64_t size_of(Type type) { return type == Type::kFloat32 ? 4 : type == Type::kInt8 ? 1 : 2; }

void store_row(const Epilogue& op, std::int64_t i, const float* x) {
  if (op.out != nullptr)
    std::memcpy(op.out + i * op.out_stride, x, sizeof(float) * static_cast<std::size_t>(op.width));
  if (op.next == nullptr) return;
  std::uint8_t* next = op.next + i * op.next_stride;
  for (std::int64_t c = 0; c < op.width; c += kLanes)
    put(op, load(x + c), c, next + c * size_of(op.next_type));
}

void relu_row(const Epilogue& op, std::int64_t i, float* x) {
  for (std::int64_t c = 0; c < op.width; c += kLanes) store(larger(load(x + c), splat(0.0F)), x + c);
  if (op.out != nullptr)
    std::memcpy(op.out + i * op.out_stride, x, sizeof(float) * static_cast<std::size_t>(op.width));
  if (op.next == nullptr) return;
  const std::int64_t size = size_of(op.next_type);
  const std::int64_t padded = op.width / op.groups;
  for (std::int64_t g = 0; g < op.groups; ++g) {
    // What a group's last vector writes too far, the next group writes again; rows have room for the last.
    std::uint8_t* next = op.next + i * op.next_stride + g * op.group_columns * size;
    for (std::int64_t c = 0; c < op.group_columns; c += kLanes) {
      put(op, load(x + g * padded + c), g * padded + c, next + c * size);
    }
  }
}

// LayerNorm of x[0 .. width), whose padding is zero.
void norm_row(const Epilogue& op, std::int64_t i, float* x) {
  const std::int64_t tail = op.channels % kLanes;
  F total = splat(0.0F);
  for (std::int64_t c = 0; c < op.width; c += kLanes) total = total + load(x + c);
  const float n = static_cast<float>(op.channels);
  const F mean = splat(sum(total) / n);
  F squares = splat(0.0F);
  for (std::int64_t c = 0; c < op.width; c += kLanes) {
    const F d = load(x + c) - mean;
    store(d, x + c);
    if (c + kLanes > op.channels && tail != 0) {
      for (std::int64_t l = tail; l < kLanes; ++l) x[c + l] = 0.0F;
      squares = squares + load(x + c) * load(x + c);
    } else {
      squares = squares + d * d;
    }
  }
  const F factor = splat(1.0F / std::sqrt(sum(squares) / n + op.epsilon));
  float* out = op.out == nullptr ? nullptr : op.out + i * op.out_stride;
  std::uint8_t* next = op.next == nullptr ? nullptr : op.next + i * op.next_stride;
  const std::int64_t size = size_of(op.next_type);
  for (std::int64_t c = 0; c < op.width; c += kLanes) {
    const F y = load(x + c) * factor * load(op.gamma + c) + load(op.beta + c);
    if (out != nullptr) store(y, out + c);
    if (next != nullptr) put(op, y, c, next + c * size);
  }
}

void glu_row(const Epilogue& op, std::int64_t i, float* x) {
  const float* residual =
      op.residual + (op.residual_rows == nullptr ? i : op.residual_rows[i]) * op.residual_stride;
  const F one = splat(1.0F);
  for (std::int64_t c = 0; c < op.width; c += kLanes) {
    const F gate = splat(0.0F) - load(x + op.width + c);
    store(load(residual + c) + load(x + c) / (one + exponential(gate)), x + c);
  }
  norm_row(op, i, x);
}

void log_softmax_row(const Epilogue& op, std::int64_t i, float* x) {
  float* out = op.out + i * op.out_stride;
  std::int64_t first = 0;
  for (std::int64_t h = 0; h < op.heads; ++h) {
    const std::int64_t last = op.head_ends[h];
    float most = x[first];
    for (std::int64_t c = first + 1; c < last; ++c) most = x[c] > most ? x[c] : most;
    float total = 0.0F;
    for (std::int64_t c = first; c < last; c += kLanes) {
      const std::int64_t n = std::min(kLanes, last - c);
      float part[kLanes] = {};
      for (std::int64_t l = 0; l < n; ++l) part[l] = x[c + l] - most;
      float powers[kLanes];
      store(exponential(load(part)), powers);
      for (std::int64_t l = 0; l < n; ++l) total = total + powers[l];
    }
    const float shift = most + static_cast<float>(std::log(static_cast<double>(total)));
    for (std::int64_t c = first; c < last; ++c) out[c] = x[c] - shift;
    first = last;
  }
}

void finish(const Epilogue& op, std::int64_t begin, std::int64_t end, float* scratch, std::int64_t columns) {
  for (std::int64_t i = begin; i < end; ++i) {
    float* x = scratch + (i - begin) * columns;
    switch (op.finish) {
      case Finish::kStore:
        store_row(op, i, x);
        break;
      case Finish::kRelu:
        relu_row(op, i, x);
        break;
      case Finish::kNorm:
        norm_row(op, i, x);
        break;
      case Finish::kGlu:
        glu_row(op, i, x);
        break;
      case Finish::kLogSoftmax:
        log_softmax_row(op, i, x);
        break;
    }
  }
}

// ---- Features of characters

void characters(const Characters& op, std::int64_t begin, std::int64_t end) {
  const std::int64_t row = 3 * op.width;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint8_t* word = op.characters + i * op.slots;
    for (std::int64_t c = 0; c < op.width; c += kLanes) {
      const float* left = op.tables + c;
      const float* middle = left + op.width;
      const float* right = middle + op.width;
      F most = splat(-std::numeric_limits<float>::infinity());
      for (std::int64_t s = 0; s < op.slots; ++s) {
        if (word[s] == 0) continue;
        F x = load(middle + word[s] * row);
        if (s > 0) x = x + load(left + word[s - 1] * row);
        if (s + 1 < op.slots) x = x + load(right + word[s + 1] * row);
        most = larger(most, x);
      }
      float y[kLanes];
      store(larger(most + load(op.bias + c), splat(0.0F)), y);
      const std::int64_t n = std::min(kLanes, op.filters - c);
      std::memcpy(op.out + i * op.out_stride + c, y, sizeof(float) * static_cast<std::size_t>(n));
    }
  }
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {linear, table_sum, finish, characters};

}  // namespace bioner::infer::BIONER_LEVEL
