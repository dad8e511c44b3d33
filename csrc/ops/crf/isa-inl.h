// Forward-backward on scaled probabilities for one instruction set; see base/core/simd-inl.h and kernels.h. A
// lane is a tag: every step is a product of a vector with exp(transitions), so the only exponentials are one
// per tag and token.
//
// alpha is stored as it was before scaling, and the scale is applied one step later: the sum and the division
// then run beside the next product instead of before it. Likewise nothing in the backward chain waits for a
// sum over tags.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/core/simd-inl.h"
#include "ops/crf/kernels.h"

namespace bioner::BIONER_LEVEL {
namespace crf_isa {

using bioner::crf::Chain;
using bioner::crf::kLeastExponent;
using bioner::crf::kLeastScale;
using bioner::crf::kMostBeta;
using bioner::crf::kSmall;
using bioner::crf::Outcome;
using bioner::crf::Scratch;

constexpr double kNone = -HUGE_VAL;

// exp(x) for x <= 0, to about one ulp. -inf gives 0, a finite x at least exp(kLeastExponent), NaN gives NaN.
BIONER_INLINE V exponential(V x) {
  const V magic =
      V::set1(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to an integer, kept in the low bits
  const V bounded = max(V::set1(kLeastExponent), x);
  const V shifted = multiply_add(bounded, V::set1(1.4426950408889634074), magic);
  const V n = shifted - magic;
  V r = multiply_add(n, V::set1(-6.93147180369123816490e-01), bounded);  // ln 2, high and low part
  r = multiply_add(n, V::set1(-1.90821492927058770002e-10), r);
  V p = V::set1(1.0 / 6227020800.0);
  p = multiply_add(p, r, V::set1(1.0 / 479001600.0));
  p = multiply_add(p, r, V::set1(1.0 / 39916800.0));
  p = multiply_add(p, r, V::set1(1.0 / 3628800.0));
  p = multiply_add(p, r, V::set1(1.0 / 362880.0));
  p = multiply_add(p, r, V::set1(1.0 / 40320.0));
  p = multiply_add(p, r, V::set1(1.0 / 5040.0));
  p = multiply_add(p, r, V::set1(1.0 / 720.0));
  p = multiply_add(p, r, V::set1(1.0 / 120.0));
  p = multiply_add(p, r, V::set1(1.0 / 24.0));
  p = multiply_add(p, r, V::set1(1.0 / 6.0));
  p = multiply_add(p, r, V::set1(0.5));
  p = multiply_add(p, r, V::set1(1.0));
  p = multiply_add(p, r, V::set1(1.0));
  const V scaled = from_bits(bits(p) + shift_left<52>(bits(shifted)));
  return select(equal(x, V::set1(kNone)), V::set1(0.0), scaled);
}

template <typename T>
BIONER_INLINE V load_row(const T* row, int tag, int tags) {
  return tag + V::kLanes <= tags ? V::load(row + tag) : V::load_n(row + tag, tags - tag, V::set1(kNone));
}

template <typename T>
BIONER_INLINE void store_row(V value, T* row, int tag, int tags) {
  value.store_n(row + tag, tags - tag < V::kLanes ? tags - tag : V::kLanes);
}

void exponentials(const double* in, int rows, int tags, int stride, double* out) {
  for (int row = 0; row < rows; ++row, in += tags, out += stride) {
    for (int tag = 0; tag < stride; tag += V::kLanes) {
      (tag < tags ? exponential(load_row(in, tag, tags)) : V::set1(0.0)).store(out + tag);
    }
  }
}

// out[c] = sum over i of x[i] * matrix[i, c], for kColumns vectors of c. Small ones keep several partial
// sums, because one chain of additions would be waiting most of the time.
template <int kColumns>
BIONER_INLINE void product_columns(const double* x, const double* matrix, int tags, int stride, double* out) {
  constexpr int kChains = kColumns <= 2 ? 4 : (kColumns <= 4 ? 2 : 1);
  V sum[kChains][kColumns];
  for (int chain = 0; chain < kChains; ++chain) {
    for (int c = 0; c < kColumns; ++c) sum[chain][c] = V::set1(0.0);
  }
  int i = 0;
  for (; i + kChains <= tags; i += kChains) {
    for (int chain = 0; chain < kChains; ++chain) {
      const V factor = V::set1(x[i + chain]);
      const double* const row = matrix + static_cast<std::int64_t>(i + chain) * stride;
      for (int c = 0; c < kColumns; ++c) {
        sum[chain][c] = multiply_add(factor, V::load(row + c * V::kLanes), sum[chain][c]);
      }
    }
  }
  for (; i < tags; ++i) {
    const V factor = V::set1(x[i]);
    const double* const row = matrix + static_cast<std::int64_t>(i) * stride;
    for (int c = 0; c < kColumns; ++c)
      sum[0][c] = multiply_add(factor, V::load(row + c * V::kLanes), sum[0][c]);
  }
  for (int c = 0; c < kColumns; ++c) {
    V total = sum[0][c];
    for (int chain = 1; chain < kChains; ++chain) total = total + sum[chain][c];
    total.store(out + c * V::kLanes);
  }
}

// out [tags] = x [tags] times matrix [tags, stride].
BIONER_INLINE void product(const double* x, const double* matrix, int tags, int stride, double* out) {
  const int vectors = (tags + V::kLanes - 1) / V::kLanes;
  const int tiles = (vectors + 7) / 8;
  for (int tile = 0, done = 0; tile < tiles; ++tile) {
    const int columns = (vectors - done + tiles - tile - 1) / (tiles - tile);
    const double* const from = matrix + done * V::kLanes;
    double* const to = out + done * V::kLanes;
    switch (columns) {
      case 1:
        product_columns<1>(x, from, tags, stride, to);
        break;
      case 2:
        product_columns<2>(x, from, tags, stride, to);
        break;
      case 3:
        product_columns<3>(x, from, tags, stride, to);
        break;
      case 4:
        product_columns<4>(x, from, tags, stride, to);
        break;
      case 5:
        product_columns<5>(x, from, tags, stride, to);
        break;
      case 6:
        product_columns<6>(x, from, tags, stride, to);
        break;
      case 7:
        product_columns<7>(x, from, tags, stride, to);
        break;
      default:
        product_columns<8>(x, from, tags, stride, to);
        break;
    }
    done += columns;
  }
}

// exp(emission - shift) of the whole sentence; *least becomes the negated least positive weight.
template <typename T>
BIONER_INLINE void weigh_emissions(const Chain& chain, const T* emissions, std::int64_t length,
                                   const Scratch& scratch, V* least) {
  const V zero = V::set1(0.0);
  for (std::int64_t t = 0; t < length; ++t) {
    const T* const row = emissions + t * chain.tags;
    V top = V::set1(kNone);
    for (int tag = 0; tag < chain.tags; tag += V::kLanes) top = max(load_row(row, tag, chain.tags), top);
    double shift = reduce_max(top);
    if (shift == kNone) shift = 0.0;
    scratch.shift[t] = shift;
    double* const out = scratch.weights + t * chain.stride;
    for (int tag = 0; tag < chain.tags; tag += V::kLanes) {
      const V weight = exponential(load_row(row, tag, chain.tags) - V::set1(shift));
      *least = max(select(greater(weight, zero), zero - weight, V::set1(kNone)), *least);
      weight.store(out + tag);
    }
  }
}

template <typename T>
Outcome forward(const Chain& chain, const T* emissions, std::int64_t length, const Scratch& scratch,
                double* log_z) {
  const int tags = chain.tags;
  const int stride = chain.stride;
  const V zero = V::set1(0.0);
  V least = V::set1(kNone);
  weigh_emissions(chain, emissions, length, scratch, &least);

  bool doubtful = chain.delicate;
  double scale = 1.0;
  double mantissa = 1.0;  // the product of all scales is mantissa * 2^exponent
  std::int64_t exponent = 0;
  for (std::int64_t t = 0; t < length; ++t) {
    double* const alpha = scratch.alpha + t * stride;
    const double* incoming = chain.start;
    if (t > 0) {
      product(alpha - stride, chain.weights, tags, stride, alpha);
      incoming = alpha;
    }
    const double* const weights = scratch.weights + t * stride;
    V sum = zero;
    const V factor = V::set1(scale);
    for (int tag = 0; tag < tags; tag += V::kLanes) {
      const V value = V::load(incoming + tag) * V::load(weights + tag) * factor;
      least = max(select(greater(value, zero), zero - value, V::set1(kNone)), least);
      sum = sum + value;
      value.store(alpha + tag);
    }
    const double total = reduce_add(sum);
    if (!(total >= kLeastScale)) return Outcome::kFailed;  // also NaN
    doubtful |= total < 1e-20;
    scale = 1.0 / total;
    scratch.scale[t] = scale;
    mantissa *= total;
    if (t % 4 == 3) {  // four scales cannot leave the range of a double
      std::uint64_t image;
      std::memcpy(&image, &mantissa, sizeof image);
      exponent += static_cast<std::int64_t>(image >> 52) - 1023;
      image = (image & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL;
      std::memcpy(&mantissa, &image, sizeof image);
    }
  }
  const double* const alpha = scratch.alpha + (length - 1) * stride;
  V sum = zero;
  for (int tag = 0; tag < tags; tag += V::kLanes) sum = sum + V::load(alpha + tag) * V::load(chain.end + tag);
  const double total = reduce_add(sum) * scale;
  if (!(total >= kLeastScale)) return Outcome::kFailed;
  *log_z =
      std::log(mantissa) + (__builtin_log(total) + static_cast<double>(exponent) * 0.69314718055994530942);
  if (!(*log_z < HUGE_VAL)) return Outcome::kFailed;
  doubtful |= -reduce_max(least) < kSmall;
  return doubtful ? Outcome::kDoubtful : Outcome::kGood;
}

template <typename T>
Outcome backward(const Chain& chain, std::int64_t length, const Scratch& scratch, double factor,
                 bool keep_pairs, const std::int64_t* gold, T* out) {
  const int tags = chain.tags;
  const int stride = chain.stride;
  const V zero = V::set1(0.0);
  double buffer[2][256];
  double* beta = buffer[0];
  double* ahead = buffer[1];
  {
    const double* const alpha = scratch.alpha + (length - 1) * stride;
    V sum = zero;
    for (int tag = 0; tag < tags; tag += V::kLanes)
      sum = sum + V::load(alpha + tag) * V::load(chain.end + tag);
    const V inverse = V::set1(1.0 / (reduce_add(sum) * scratch.scale[length - 1]));
    for (int tag = 0; tag < tags; tag += V::kLanes) (V::load(chain.end + tag) * inverse).store(beta + tag);
  }
  V most = zero;
  for (std::int64_t t = length - 1;; --t) {
    const double* const alpha = scratch.alpha + t * stride;
    double* const weights = scratch.weights + t * stride;
    // The posterior is divided by its own sum: the rounding of many products cancels.
    V sum = zero;
    for (int tag = 0; tag < tags; tag += V::kLanes) {
      const V value = V::load(beta + tag);
      most = max(value, most);
      sum = sum + V::load(alpha + tag) * value;
      if (scratch.beta != nullptr) value.store(scratch.beta + t * stride + tag);
    }
    const double share = factor / reduce_add(sum);
    for (int tag = 0; tag < tags; tag += V::kLanes) {
      const V posterior = V::load(alpha + tag) * V::load(beta + tag) * V::set1(share);
      store_row(posterior, out + t * tags, tag, tags);
    }
    if (gold != nullptr) {  // before the posterior is rounded to T
      const std::int64_t tag = gold[t];
      out[t * tags + tag] = static_cast<T>(alpha[tag] * beta[tag] * share - factor);
    }
    if (keep_pairs && t + 1 < length) {
      double* const pairs = weights + stride;
      for (int tag = 0; tag < tags; tag += V::kLanes)
        (V::load(pairs + tag) * V::set1(share)).store(pairs + tag);
    }
    if (t == 0) break;
    double* const step = keep_pairs ? weights : ahead;
    const V scale = V::set1(scratch.scale[t]);
    for (int tag = 0; tag < tags; tag += V::kLanes) {
      (V::load(weights + tag) * V::load(beta + tag) * scale).store(step + tag);
    }
    product(step, chain.transposed, tags, stride, beta);
  }
  return reduce_max(most) <= kMostBeta ? Outcome::kGood : Outcome::kFailed;
}

// kRows from-tags times kColumns vectors of to-tags stay in registers over the whole sentence.
template <int kRows, int kColumns>
BIONER_INLINE void pair_block(const Chain& chain, std::int64_t length, const Scratch& scratch, int from,
                              int to, double* sums) {
  V sum[kRows][kColumns];
  double* const target = sums + static_cast<std::int64_t>(from) * chain.stride + to;
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) sum[r][c] = V::load(target + r * chain.stride + c * V::kLanes);
  }
  const double* alpha = scratch.alpha + from;
  const double* pairs = scratch.weights + chain.stride + to;
  for (std::int64_t t = 1; t < length; ++t, alpha += chain.stride, pairs += chain.stride) {
    V column[kColumns];
    for (int c = 0; c < kColumns; ++c) column[c] = V::load(pairs + c * V::kLanes);
    for (int r = 0; r < kRows; ++r) {
      const V factor = V::set1(alpha[r]);
      for (int c = 0; c < kColumns; ++c) sum[r][c] = multiply_add(factor, column[c], sum[r][c]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) sum[r][c].store(target + r * chain.stride + c * V::kLanes);
  }
}

template <int kRows>
BIONER_INLINE void pair_rows(const Chain& chain, std::int64_t length, const Scratch& scratch, int from,
                             double* sums) {
  int to = 0;
  for (; to + V::kLanes < chain.tags; to += 2 * V::kLanes)
    pair_block<kRows, 2>(chain, length, scratch, from, to, sums);
  for (; to < chain.tags; to += V::kLanes) pair_block<kRows, 1>(chain, length, scratch, from, to, sums);
}

void add_pairs(const Chain& chain, std::int64_t length, const Scratch& scratch, double* sums) {
  int from = 0;
  for (; from + 4 <= chain.tags; from += 4) pair_rows<4>(chain, length, scratch, from, sums);
  for (; from < chain.tags; ++from) pair_rows<1>(chain, length, scratch, from, sums);
}

}  // namespace crf_isa
}  // namespace bioner::BIONER_LEVEL

namespace bioner::crf::BIONER_LEVEL {
namespace isa = bioner::BIONER_LEVEL::crf_isa;
const Kernels<float> f32 = {&isa::exponentials, &isa::forward<float>, &isa::backward<float>, &isa::add_pairs};
const Kernels<double> f64 = {&isa::exponentials, &isa::forward<double>, &isa::backward<double>,
                             &isa::add_pairs};
}  // namespace bioner::crf::BIONER_LEVEL
