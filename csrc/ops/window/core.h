// The arithmetic of the gradients, once for CPU and CUDA.
#pragma once

#include <cstdint>

#include "base/core/packed.h"
#include "base/core/scalar.h"
#include "ops/window/window.h"

namespace bioner::window {

// Positions j of a window that hold token m for some token of its sentence: t = m + c - j runs through
// [begin, end).
struct Reach {
  int first;  // the lowest j, inclusive
  int last;   // the highest j, inclusive
};

BIONER_HD BIONER_INLINE Reach reach(TokenRange sentence, std::int64_t m, int window) {
  const int centre = window / 2;
  const std::int64_t after = sentence.end - 1 - m;  // tokens of the sentence behind m
  const std::int64_t before = m - sentence.begin;
  return {centre - static_cast<int>(after < centre ? after : centre),
          centre + static_cast<int>(before < centre ? before : centre)};
}

// Where grad[m + c - j, j, d] lies, for j = 0; each further j adds reach_stride.
BIONER_HD BIONER_INLINE std::int64_t reach_start(std::int64_t m, int window, std::int64_t width) {
  return (m + window / 2) * window * width;
}
BIONER_HD BIONER_INLINE std::int64_t reach_stride(int window, std::int64_t width) {
  return (1 - window) * width;
}

// One element of the gradient of `values`: the fixed order of summation.
template <typename T>
BIONER_HD BIONER_INLINE typename ScalarTraits<T>::Accumulator sum_reach(const T* grad, Reach js,
                                                                        std::int64_t start,
                                                                        std::int64_t stride, std::int64_t d) {
  typename ScalarTraits<T>::Accumulator sum = 0;
  for (int j = js.first; j <= js.last; ++j) sum += load_scalar(grad[start + j * stride + d]);
  return sum;
}

// Positions of token t's window that lie outside its sentence: j < before and j >= window - after. Never more
// than the window has, also where bad offsets (CUDA) name a sentence that t is not in.
struct Outside {
  int before;
  int after;
};

BIONER_HD BIONER_INLINE Outside outside(TokenRange sentence, std::int64_t t, int window) {
  const std::int64_t centre = window / 2;
  const std::int64_t left = centre - (t - sentence.begin);
  const std::int64_t right = centre - (sentence.end - 1 - t);
  const std::int64_t before = left < 0 ? 0 : (left > window ? window : left);
  const std::int64_t after = right < 0 ? 0 : (right > window - before ? window - before : right);
  return {static_cast<int>(before), static_cast<int>(after)};
}

}  // namespace bioner::window
