// Forward-backward in the log domain: slower than scaled probabilities (isa-inl.h, cuda.cu), but right for
// weights of any size. The recurrence where those underflow. All float64.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/core/macros.h"

namespace bioner::crf {

// log(sum of exp) of values that arrive one by one, twice: first the maximum, then the sum. -inf where there
// are none but -inf; NaN where there is a NaN.
struct LogSum {
  double top = -HUGE_VAL;
  double sum = 0.0;

  BIONER_HD void bound(double value) {
    if (value > top) top = value;
    if (value != value) sum = value;  // NaN stays in the sum
  }
  BIONER_HD void add(double value) {
    if (value > -HUGE_VAL) sum += exp(value - top);
  }
  BIONER_HD double total() const { return sum == 0.0 ? -HUGE_VAL : top + log(sum); }
};

// log of the sum over i of exp(x[i] + matrix[i * step]).
template <typename M>
BIONER_HD inline double log_product(const double* x, const M* matrix, int tags, int step) {
  LogSum sum;
  for (int i = 0; i < tags; ++i) sum.bound(x[i] + static_cast<double>(matrix[i * step]));
  for (int i = 0; i < tags; ++i) sum.add(x[i] + static_cast<double>(matrix[i * step]));
  return sum.total();
}

// exp(value - log_z) for a term of the sum log_z; 0 where the term is impossible.
BIONER_HD inline double share_of(double value, double log_z) {
  return value == -HUGE_VAL ? 0.0 : exp(value - log_z);
}

// A product of positive numbers, far beyond the range of a double.
struct ScaleProduct {
  double mantissa = 1.0;  // in [1, 2) after each factor
  std::int64_t exponent = 0;

  BIONER_HD void multiply(double factor) {
    mantissa *= factor;
    std::uint64_t image;
    memcpy(&image, &mantissa, sizeof image);
    exponent += static_cast<std::int64_t>(image >> 52) - 1023;
    image = (image & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL;
    memcpy(&mantissa, &image, sizeof image);
  }
  BIONER_HD double logarithm() const {
    return log(mantissa) + static_cast<double>(exponent) * 0.69314718055994530942;
  }
};

// One sentence. `emissions` is float64 [length, tags]; alpha and beta are [length, stride]. Returns log Z.
inline double log_forward(const double* emissions, const double* transitions, const double* start,
                          const double* end, int tags, int stride, std::int64_t length, double* alpha) {
  for (int j = 0; j < tags; ++j) alpha[j] = start[j] + emissions[j];
  for (std::int64_t t = 1; t < length; ++t) {
    for (int j = 0; j < tags; ++j) {
      alpha[t * stride + j] =
          emissions[t * stride + j] + log_product(alpha + (t - 1) * stride, transitions + j, tags, tags);
    }
  }
  return log_product(alpha + (length - 1) * stride, end, tags, 1);
}

// `work` has room for `tags` values.
inline void log_backward(const double* emissions, const double* transitions, const double* end, int tags,
                         int stride, std::int64_t length, double* beta, double* work) {
  for (int j = 0; j < tags; ++j) beta[(length - 1) * stride + j] = end[j];
  for (std::int64_t t = length - 1; t > 0; --t) {
    for (int j = 0; j < tags; ++j) work[j] = emissions[t * stride + j] + beta[t * stride + j];
    for (int i = 0; i < tags; ++i) {
      beta[(t - 1) * stride + i] = log_product(work, transitions + i * tags, tags, 1);
    }
  }
}

}  // namespace bioner::crf
