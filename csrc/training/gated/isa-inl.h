// Bodies of the gated-block kernels; compiled once per SIMD level, each in a namespace of its own
// (BIONER_LEVEL). Plain loops that the compiler vectorises. Sums over a row run in kLanes partial sums, so
// the width of a register does not show in the result.

#include <math.h>

#include "training/gated/isa.h"

namespace bioner::gated::BIONER_LEVEL {
namespace {

constexpr std::int64_t kLanes = 16;

template <typename T>
using Sum = typename ScalarTraits<T>::Accumulator;

// ---- exp, in arithmetic that vectorises: two roundings from exact at most. NaN stays NaN.

BIONER_INLINE float exponential(float x) {
  const float bounded = x < -87.0f ? -87.0f : (x > 87.0f ? 87.0f : x);
  const float n = (bounded * 1.44269504088896341f + 12582912.0f) - 12582912.0f;  // rounds to an integer
  float r = bounded - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const auto power = static_cast<std::int32_t>(bounded == bounded ? n : 0.0f) + 127;
  return p * bits_float(static_cast<std::uint32_t>(power) << 23);
}

BIONER_INLINE double exponential(double x) { return ::exp(x); }

template <typename T>
BIONER_INLINE T sigmoid(T x) {
  return T(1) / (T(1) + exponential(-x));
}

template <typename T>
BIONER_INLINE T sum_lanes(const T* lanes) {
  T sum = 0;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

// ---- taps

template <typename T>
BIONER_INLINE T drop_one(const Drop& drop, T scale, std::uint32_t number, T value) {
  return drop_bits(drop, number) < drop.threshold ? value * scale : T(0);
}

template <typename T, typename G, bool kDrop>
BIONER_INLINE void copy_row(const Taps& op, std::int64_t from, G* BIONER_RESTRICT out) {
  const T* BIONER_RESTRICT values = static_cast<const T*>(op.values) + from * op.width;
  const Drop drop = op.drop;
  const T scale = static_cast<T>(drop.scale);
  const auto number = static_cast<std::uint32_t>(from * op.width);
  for (std::int64_t c = 0; c < op.width; ++c) {
    const T value =
        kDrop ? drop_one(drop, scale, number + static_cast<std::uint32_t>(c), values[c]) : values[c];
    out[c] = ScalarTraits<G>::store(value);
  }
}

template <typename T, typename G, bool kDrop>
void taps_forward_as(const Taps& op, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    G* out = static_cast<G*>(op.rows) + t * op.taps * op.width;
    if (op.taps == 1) {
      copy_row<T, G, kDrop>(op, t, out);
      continue;
    }
    for (int j = 0; j < 3; ++j, out += op.width) {
      const std::int64_t from = t + (j - 1) * op.dilation;
      const bool inside =
          from >= 0 && from < op.tokens && from + op.shift >= op.first[t] && from + op.shift <= op.last[t];
      if (inside) {
        copy_row<T, G, kDrop>(op, from, out);
      } else {
        for (std::int64_t c = 0; c < op.width; ++c) out[c] = ScalarTraits<G>::store(0);
      }
    }
  }
}

template <typename T, typename G, bool kDrop>
void taps_backward_as(const Taps& op, std::int64_t begin, std::int64_t end) {
  const Drop drop = op.drop;
  const T scale = static_cast<T>(drop.scale);
  const std::int64_t width = op.width;
  for (std::int64_t t = begin; t < end; ++t) {
    T* BIONER_RESTRICT out = static_cast<T*>(op.out) + t * width;
    const G* rows = static_cast<const G*>(op.rows);
    const G* BIONER_RESTRICT own = rows + (t * op.taps + op.taps / 2) * width;
    for (std::int64_t c = 0; c < width; ++c) out[c] = load_scalar(own[c]);
    for (int j = 0; j < op.taps; j += 2) {
      if (op.taps == 1) break;
      // Token `reader` reads this one as its tap j.
      const std::int64_t reader = t - (j - 1) * op.dilation;
      const bool inside = reader >= 0 && reader < op.tokens && reader + op.shift >= op.first[t] &&
                          reader + op.shift <= op.last[t];
      if (!inside) continue;
      const G* BIONER_RESTRICT read = rows + (reader * 3 + j) * width;
      for (std::int64_t c = 0; c < width; ++c) out[c] += load_scalar(read[c]);
    }
    if constexpr (kDrop) {
      const auto number = static_cast<std::uint32_t>(t * width);
      for (std::int64_t c = 0; c < width; ++c) {
        out[c] = drop_one(drop, scale, number + static_cast<std::uint32_t>(c), out[c]);
      }
    }
    if (op.residual != nullptr) {
      const T* BIONER_RESTRICT residual = static_cast<const T*>(op.residual) + t * width;
      for (std::int64_t c = 0; c < width; ++c) out[c] += residual[c];
    }
  }
}

// ---- gate

// The sum that is normalised: h + a * sigmoid(b).
template <typename T, typename G>
BIONER_INLINE void gate_row(const Gate& op, std::int64_t t, T* BIONER_RESTRICT sum) {
  const std::int64_t width = op.width;
  const T* BIONER_RESTRICT hidden = static_cast<const T*>(op.hidden) + t * width;
  const G* BIONER_RESTRICT rows = static_cast<const G*>(op.rows) + t * 2 * width;
  const T* BIONER_RESTRICT bias = static_cast<const T*>(op.bias);
  BIONER_APART
  for (std::int64_t c = 0; c < width; ++c) {
    const T a = load_scalar(rows[c]) + bias[c];
    const T b = load_scalar(rows[width + c]) + bias[width + c];
    sum[c] = hidden[c] + a * sigmoid(b);
  }
}

template <typename T, typename G>
void gate_forward_typed(const Gate& op, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = op.width;
  const std::int64_t whole = width - width % kLanes;
  const T count = static_cast<T>(width);
  const T* BIONER_RESTRICT weight = static_cast<const T*>(op.weight);
  const T* BIONER_RESTRICT shift = static_cast<const T*>(op.shift);
  for (std::int64_t t = begin; t < end; ++t) {
    T* BIONER_RESTRICT out = static_cast<T*>(op.out) + t * width;
    gate_row<T, G>(op, t, out);
    T lanes[kLanes] = {};
    for (std::int64_t c = 0; c < whole; c += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += out[c + lane];
    }
    for (std::int64_t c = whole; c < width; ++c) lanes[c - whole] += out[c];
    const T mean = sum_lanes(lanes) / count;
    for (T& lane : lanes) lane = 0;
    for (std::int64_t c = 0; c < whole; c += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        const T away = out[c + lane] - mean;
        lanes[lane] += away * away;
      }
    }
    for (std::int64_t c = whole; c < width; ++c) lanes[c - whole] += (out[c] - mean) * (out[c] - mean);
    const T variance = sum_lanes(lanes) / count;
    const T inverse = T(1) / static_cast<T>(::sqrt(static_cast<double>(variance) + op.epsilon));
    for (std::int64_t c = 0; c < width; ++c) out[c] = (out[c] - mean) * inverse * weight[c] + shift[c];
    T* stats = static_cast<T*>(op.stats) + 2 * t;
    stats[0] = mean;
    stats[1] = inverse;
  }
}

template <typename T, typename G>
BIONER_INLINE void gate_backward_row(const Gate& op, std::int64_t t, T* BIONER_RESTRICT sums) {
  const std::int64_t width = op.width;
  const std::int64_t whole = width - width % kLanes;
  const T count = static_cast<T>(width);
  const T* stats = static_cast<const T*>(op.stats) + 2 * t;
  const T mean = stats[0];
  const T inverse = stats[1];
  const T* BIONER_RESTRICT weight = static_cast<const T*>(op.weight);
  const T* BIONER_RESTRICT grad = static_cast<const T*>(op.grad) + t * width;
  T* BIONER_RESTRICT normed = static_cast<T*>(op.grad_hidden) + t * width;  // until the last loop
  gate_row<T, G>(op, t, normed);
  T* BIONER_RESTRICT sum_weight = sums;
  T* BIONER_RESTRICT sum_shift = sums + width;
  T* BIONER_RESTRICT sum_bias = sums + 2 * width;
  T first[kLanes] = {};
  T second[kLanes] = {};
  BIONER_APART
  for (std::int64_t c = 0; c < width; ++c) {
    normed[c] = (normed[c] - mean) * inverse;
    sum_weight[c] += grad[c] * normed[c];
    sum_shift[c] += grad[c];
  }
  for (std::int64_t c = 0; c < whole; c += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const T scaled = grad[c + lane] * weight[c + lane];
      first[lane] += scaled;
      second[lane] += scaled * normed[c + lane];
    }
  }
  for (std::int64_t c = whole; c < width; ++c) {
    first[c - whole] += grad[c] * weight[c];
    second[c - whole] += grad[c] * weight[c] * normed[c];
  }
  const T mean_first = sum_lanes(first) / count;
  const T mean_second = sum_lanes(second) / count;
  const G* BIONER_RESTRICT rows = static_cast<const G*>(op.rows) + t * 2 * width;
  const T* BIONER_RESTRICT bias = static_cast<const T*>(op.bias);
  G* BIONER_RESTRICT grad_rows = static_cast<G*>(op.grad_rows) + t * 2 * width;
  BIONER_APART
  for (std::int64_t c = 0; c < width; ++c) {
    const T to_sum = inverse * (grad[c] * weight[c] - mean_first - normed[c] * mean_second);
    const T a = load_scalar(rows[c]) + bias[c];
    const T open = sigmoid(load_scalar(rows[width + c]) + bias[width + c]);
    const T to_a = to_sum * open;
    const T to_b = to_sum * a * open * (T(1) - open);
    grad_rows[c] = ScalarTraits<G>::store(to_a);
    grad_rows[width + c] = ScalarTraits<G>::store(to_b);
    sum_bias[c] += to_a;
    sum_bias[width + c] += to_b;
    normed[c] = to_sum;
  }
}

template <typename T, typename G>
void gate_backward_typed(const Gate& op, std::int64_t begin, std::int64_t end) {
  for (std::int64_t block = begin; block < end; ++block) {
    T* sums = static_cast<T*>(op.workspace) + block * 4 * op.width;
    for (std::int64_t c = 0; c < 4 * op.width; ++c) sums[c] = 0;
    const std::int64_t first = block * kTokensPerBlock;
    const std::int64_t last = first + kTokensPerBlock;
    for (std::int64_t t = first; t < (last < op.tokens ? last : op.tokens); ++t) {
      gate_backward_row<T, G>(op, t, sums);
    }
  }
}

// ---- by type

#define BIONER_BY_TYPE(name, Op)                                  \
  void name(const Op& op, std::int64_t begin, std::int64_t end) { \
    if (op.scalar == Scalar::kFloat64) {                          \
      name##_typed<double, double>(op, begin, end);               \
    } else if (op.product == Scalar::kBFloat16) {                 \
      name##_typed<float, BFloat16>(op, begin, end);              \
    } else {                                                      \
      name##_typed<float, float>(op, begin, end);                 \
    }                                                             \
  }

template <typename T, typename G>
void taps_forward_typed(const Taps& op, std::int64_t begin, std::int64_t end) {
  op.drop.threshold != 0 ? taps_forward_as<T, G, true>(op, begin, end)
                         : taps_forward_as<T, G, false>(op, begin, end);
}

template <typename T, typename G>
void taps_backward_typed(const Taps& op, std::int64_t begin, std::int64_t end) {
  op.drop.threshold != 0 ? taps_backward_as<T, G, true>(op, begin, end)
                         : taps_backward_as<T, G, false>(op, begin, end);
}

BIONER_BY_TYPE(taps_forward, Taps)
BIONER_BY_TYPE(taps_backward, Taps)
BIONER_BY_TYPE(gate_forward, Gate)
BIONER_BY_TYPE(gate_backward, Gate)
#undef BIONER_BY_TYPE

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {taps_forward, taps_backward, gate_forward, gate_backward};

}  // namespace bioner::gated::BIONER_LEVEL
