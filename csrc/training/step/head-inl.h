// The head of a tagger: logits, softmax, loss, and all gradients. Included by isa-inl.h.
//
// Sums have fixed orders: within a row by lanes of 64 bytes, over rows one after another.

// ---- head

namespace bioner::step::BIONER_LEVEL {
namespace {

constexpr int kTags = 5;  // tags that share what is read: mostly those of a head

// 64 bytes of T. GCC and Clang split them into the registers that there are.
#if defined(__GNUC__)
template <typename T>
struct LanesOf {
  typedef T Type __attribute__((vector_size(64)));  // NOLINT: `using` takes no dependent attribute
};
template <typename T>
using Lanes = typename LanesOf<T>::Type;
#else
template <typename T>
struct Lanes {
  T v[64 / sizeof(T)];
  T& operator[](std::int64_t l) { return v[l]; }
  friend Lanes operator*(Lanes a, const Lanes& b) {
    for (std::size_t l = 0; l < 64 / sizeof(T); ++l) a.v[l] *= b.v[l];
    return a;
  }
  friend Lanes operator*(T a, Lanes b) {
    for (T& x : b.v) x *= a;
    return b;
  }
  Lanes& operator+=(const Lanes& b) {
    for (std::size_t l = 0; l < 64 / sizeof(T); ++l) v[l] += b.v[l];
    return *this;
  }
};
#endif
template <typename T>
constexpr std::int64_t kLanesOf = 64 / sizeof(T);

// The first `count` lanes; zeros after them.
template <typename T>
BIONER_INLINE Lanes<T> load_lanes(const T* from, std::int64_t count) {
  Lanes<T> lanes{};
  if (count >= kLanesOf<T>) {
    memcpy(&lanes, from, sizeof lanes);
  } else {
    memcpy(&lanes, from, static_cast<std::size_t>(count) * sizeof(T));
  }
  return lanes;
}

template <typename T>
BIONER_INLINE void store_lanes(const Lanes<T>& lanes, T* to, std::int64_t count) {
  const std::int64_t stored = count < kLanesOf<T> ? count : kLanesOf<T>;
  memcpy(to, &lanes, static_cast<std::size_t>(stored) * sizeof(T));
}

template <typename T>
BIONER_INLINE T sum_lanes(Lanes<T> lanes) {
  for (std::int64_t step = kLanesOf<T> / 2; step > 0; step /= 2) {
    for (std::int64_t l = 0; l < step; ++l) lanes[l] += lanes[l + step];
  }
  return lanes[0];
}

// Not std::exp: its inline copies would be left for the linker to choose (base/core/macros.h).
BIONER_INLINE float exp_of(float x) { return ::expf(x); }
BIONER_INLINE double exp_of(double x) { return ::exp(x); }
BIONER_INLINE float log_of(float x) { return ::logf(x); }
BIONER_INLINE double log_of(double x) { return ::log(x); }

// Products of a row with kCount weights, added to `out`.
template <typename T, int kCount>
BIONER_INLINE void head_dots(const T* row, const T* weights, std::int64_t width, T* out) {
  Lanes<T> sums[kCount] = {};
  std::int64_t c = 0;
  for (; c + kLanesOf<T> <= width; c += kLanesOf<T>) {
    const Lanes<T> values = load_lanes(row + c, kLanesOf<T>);
    for (int k = 0; k < kCount; ++k) sums[k] += values * load_lanes(weights + k * width + c, kLanesOf<T>);
  }
  for (int k = 0; k < kCount; ++k) {
    if (c < width) sums[k] += load_lanes(row + c, width - c) * load_lanes(weights + k * width + c, width - c);
    out[k] += sum_lanes<T>(sums[k]);
  }
}

// kVectors * kLanesOf<T> columns of into[c] = sum over k of factors[k] * weights[k, c].
template <typename T, int kVectors>
BIONER_INLINE void head_into(const T* factors, const T* weights, std::int64_t tags, std::int64_t width,
                             std::int64_t column, T* into) {
  Lanes<T> sums[kVectors] = {};
  for (std::int64_t k = 0; k < tags; ++k) {
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t c = column + v * kLanesOf<T>;
      sums[v] += factors[k] * load_lanes(weights + k * width + c, kVectors > 1 ? kLanesOf<T> : width - c);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t c = column + v * kLanesOf<T>;
    store_lanes<T>(sums[v], into + c, kVectors > 1 ? kLanesOf<T> : width - c);
  }
}

// Logits to the gradient of the loss for them; returns the loss of the row.
template <typename T>
BIONER_INLINE double head_softmax(const Head& op, std::int64_t gold, T* logits) {
  T most = logits[0];
  for (std::int64_t k = 1; k < op.tags; ++k) most = logits[k] > most ? logits[k] : most;
  T total = T(0);
  const T at_gold = logits[gold];
  for (std::int64_t k = 0; k < op.tags; ++k) {
    logits[k] = exp_of(logits[k] - most);
    total += logits[k];
  }
  const T log_probability = at_gold - most - log_of(total);
  const T least = static_cast<T>(op.least);
  const T largest = static_cast<T>(op.most);
  const T clipped = log_probability < least ? least : (log_probability > largest ? largest : log_probability);
  const T factor = clipped == log_probability ? static_cast<T>(op.factor) : T(0);
  for (std::int64_t k = 0; k < op.tags; ++k) logits[k] = logits[k] / total * factor;
  logits[gold] -= factor;
  return -static_cast<double>(clipped) * op.factor;
}

template <typename T>
void head_rows_typed(const Head& op, std::int64_t begin, std::int64_t end) {
  const T* weights = static_cast<const T*>(op.weights);
  const T* bias = static_cast<const T*>(op.bias);
  for (std::int64_t n = begin; n < end; ++n) {
    const T* row = static_cast<const T*>(op.hidden) + n * op.width;
    T* logits = static_cast<T*>(op.grad_logits) + n * op.tags;
    for (std::int64_t k = 0; k < op.tags; ++k) logits[k] = bias[k];
    for (std::int64_t k = 0; k < op.tags; k += kTags) {
      const T* const from = weights + k * op.width;
      switch (op.tags - k) {
        case 1:
          head_dots<T, 1>(row, from, op.width, logits + k);
          break;
        case 2:
          head_dots<T, 2>(row, from, op.width, logits + k);
          break;
        case 3:
          head_dots<T, 3>(row, from, op.width, logits + k);
          break;
        case 4:
          head_dots<T, 4>(row, from, op.width, logits + k);
          break;
        default:
          head_dots<T, kTags>(row, from, op.width, logits + k);
      }
    }
    op.losses[n] = head_softmax<T>(op, op.gold[n], logits);
    T* const into = static_cast<T*>(op.grad_hidden) + n * op.width;
    constexpr std::int64_t kWide = 4 * kLanesOf<T>;
    std::int64_t c = 0;
    for (; c + kWide <= op.width; c += kWide) head_into<T, 4>(logits, weights, op.tags, op.width, c, into);
    for (; c < op.width; c += kLanesOf<T>) head_into<T, 1>(logits, weights, op.tags, op.width, c, into);
  }
}

// Gradients of kCount tags' weights, kVectors * kLanesOf<T> of them.
template <typename T, int kCount, int kVectors>
BIONER_INLINE void head_weights(const Head& op, std::int64_t tag, std::int64_t column, std::int64_t end) {
  Lanes<T> sums[kCount][kVectors] = {};
  const T* hidden = static_cast<const T*>(op.hidden) + column;
  const T* grad = static_cast<const T*>(op.grad_logits) + tag;
  const std::int64_t count = kVectors > 1 ? kLanesOf<T> : end - column;
  for (std::int64_t n = 0; n < op.rows; ++n, hidden += op.width, grad += op.tags) {
    for (int v = 0; v < kVectors; ++v) {
      const Lanes<T> values = load_lanes(hidden + v * kLanesOf<T>, count);
      for (int k = 0; k < kCount; ++k) sums[k][v] += grad[k] * values;
    }
  }
  T* out = static_cast<T*>(op.grad_weights) + tag * op.width + column;
  for (int k = 0; k < kCount; ++k) {
    for (int v = 0; v < kVectors; ++v)
      store_lanes<T>(sums[k][v], out + k * op.width + v * kLanesOf<T>, count);
  }
}

template <typename T, int kCount>
void head_tags(const Head& op, std::int64_t tag, std::int64_t begin, std::int64_t end) {
  constexpr int kVectors = 4;
  std::int64_t c = begin;
  for (; c + kVectors * kLanesOf<T> <= end; c += kVectors * kLanesOf<T>) {
    head_weights<T, kCount, kVectors>(op, tag, c, end);
  }
  for (; c < end; c += kLanesOf<T>) head_weights<T, kCount, 1>(op, tag, c, end);
}

template <typename T>
void head_columns_typed(const Head& op, std::int64_t begin, std::int64_t end) {
  for (std::int64_t tag = 0; tag < op.tags; tag += kTags) {
    switch (op.tags - tag) {
      case 1:
        head_tags<T, 1>(op, tag, begin, end);
        break;
      case 2:
        head_tags<T, 2>(op, tag, begin, end);
        break;
      case 3:
        head_tags<T, 3>(op, tag, begin, end);
        break;
      case 4:
        head_tags<T, 4>(op, tag, begin, end);
        break;
      default:
        head_tags<T, kTags>(op, tag, begin, end);
    }
  }
}

void head_rows(const Head& op, std::int64_t begin, std::int64_t end) {
  op.scalar == Scalar::kFloat64 ? head_rows_typed<double>(op, begin, end)
                                : head_rows_typed<float>(op, begin, end);
}

template <typename T>
void head_bias_typed(const Head& op) {
  const T* grad = static_cast<const T*>(op.grad_logits);
  T* sums = static_cast<T*>(op.grad_bias);
  for (std::int64_t k = 0; k < op.tags; ++k) sums[k] = T(0);
  for (std::int64_t n = 0; n < op.rows; ++n, grad += op.tags) {
    for (std::int64_t k = 0; k < op.tags; ++k) sums[k] += grad[k];
  }
}

// Whoever has the first column adds up the bias's too.
void head_columns(const Head& op, std::int64_t begin, std::int64_t end) {
  if (begin == 0) op.scalar == Scalar::kFloat64 ? head_bias_typed<double>(op) : head_bias_typed<float>(op);
  op.scalar == Scalar::kFloat64 ? head_columns_typed<double>(op, begin, end)
                                : head_columns_typed<float>(op, begin, end);
}

}  // namespace
}  // namespace bioner::step::BIONER_LEVEL
