// Sixteen float32 lanes and sixteen int32 lanes, for the files that are compiled for one instruction set.
// Included once per such file with BIONER_LEVEL naming the namespace. GCC and Clang split the vectors into
// the registers there are; BIONER_LEVEL_SCALAR takes arrays and loops, for other compilers and the scalar
// level. Only single additions, products and quotients: all levels agree bit for bit.
#include <cstdint>
#include <cstring>

#include "base/core/macros.h"

namespace bioner::infer::BIONER_LEVEL {

// Plain lanes are left to the compiler: inlined by force, sanitized code takes it minutes.
#if defined(BIONER_LEVEL_SCALAR)
#define BIONER_LANE inline
#else
#define BIONER_LANE BIONER_INLINE
#endif

#if defined(BIONER_LEVEL_SCALAR)

template <typename T>
struct Lanes {
  T v[16];
};
using F = Lanes<float>;
using I = Lanes<std::int32_t>;
#define BIONER_LANEWISE(OP)                                  \
  template <typename T>                                      \
  BIONER_LANE Lanes<T> operator OP(Lanes<T> a, Lanes<T> b) { \
    for (int l = 0; l < 16; ++l) a.v[l] = a.v[l] OP b.v[l];  \
    return a;                                                \
  }
BIONER_LANEWISE(+)
BIONER_LANEWISE(-)
BIONER_LANEWISE(*)
BIONER_LANEWISE(/)
#undef BIONER_LANEWISE
BIONER_LANE F splat(float x) {
  F r;
  for (int l = 0; l < 16; ++l) r.v[l] = x;
  return r;
}
BIONER_LANE I splat(std::int32_t x) {
  I r;
  for (int l = 0; l < 16; ++l) r.v[l] = x;
  return r;
}
BIONER_LANE F larger(F a, F b) {
  for (int l = 0; l < 16; ++l) a.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l];
  return a;
}
BIONER_LANE F smaller(F a, F b) {
  for (int l = 0; l < 16; ++l) a.v[l] = a.v[l] < b.v[l] ? a.v[l] : b.v[l];
  return a;
}
BIONER_LANE F to_float(I a) {
  F r;
  for (int l = 0; l < 16; ++l) r.v[l] = static_cast<float>(a.v[l]);
  return r;
}
// Arithmetic to the right, through unsigned to the left.
template <int kBits>
BIONER_LANE I shift_right(I a) {
  for (int l = 0; l < 16; ++l) a.v[l] >>= kBits;
  return a;
}
template <int kBits>
BIONER_LANE I shift_left(I a) {
  for (int l = 0; l < 16; ++l)
    a.v[l] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[l]) << kBits);
  return a;
}
BIONER_LANE I both(I a, I b) {
  for (int l = 0; l < 16; ++l) a.v[l] &= b.v[l];
  return a;
}
BIONER_LANE I widen(const std::int16_t* p) {
  I r;
  for (int l = 0; l < 16; ++l) r.v[l] = p[l];
  return r;
}
template <typename T>
BIONER_LANE void narrow(I a, void* p) {
  T r[16];
  for (int l = 0; l < 16; ++l) r[l] = static_cast<T>(a.v[l]);
  std::memcpy(p, r, sizeof(r));
}

#elif defined(__AVX2__) && !defined(__AVX512F__)

// Two registers: GCC keeps vectors of 64 bytes in memory here.
struct F {
  __m256 low, high;
};
struct I {
  __m256i low, high;
};
BIONER_LANE F operator+(F a, F b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
BIONER_LANE F operator-(F a, F b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
BIONER_LANE F operator*(F a, F b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
BIONER_LANE F operator/(F a, F b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
BIONER_LANE I operator+(I a, I b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
BIONER_LANE I operator-(I a, I b) {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
BIONER_LANE F splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
BIONER_LANE I splat(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
BIONER_LANE F larger(F a, F b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
BIONER_LANE F smaller(F a, F b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
BIONER_LANE F to_float(I a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
template <int kBits>
BIONER_LANE I shift_right(I a) {
  return {_mm256_srai_epi32(a.low, kBits), _mm256_srai_epi32(a.high, kBits)};
}
template <int kBits>
BIONER_LANE I shift_left(I a) {
  return {_mm256_slli_epi32(a.low, kBits), _mm256_slli_epi32(a.high, kBits)};
}
BIONER_LANE I both(I a, I b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
BIONER_LANE I widen(const std::int16_t* p) {
  const auto* halves = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtepi16_epi32(_mm_loadu_si128(halves)), _mm256_cvtepi16_epi32(_mm_loadu_si128(halves + 1))};
}
// Of values that T holds.
template <typename T>
BIONER_LANE void narrow(I a, void* p) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.low, a.high), 0xD8);
  if constexpr (sizeof(T) == 2) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), words);
  } else {
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(static_cast<__m128i*>(p), bytes);
  }
}

#else

typedef float F __attribute__((vector_size(64)));
typedef std::int32_t I __attribute__((vector_size(64)));
typedef std::uint32_t U __attribute__((vector_size(64)));
BIONER_LANE F splat(float x) { return F{} + x; }
BIONER_LANE I splat(std::int32_t x) { return I{} + x; }
BIONER_LANE F larger(F a, F b) { return a > b ? a : b; }
BIONER_LANE F smaller(F a, F b) { return a < b ? a : b; }
BIONER_LANE F to_float(I a) { return __builtin_convertvector(a, F); }
template <int kBits>
BIONER_LANE I shift_right(I a) {
  return a >> kBits;
}
template <int kBits>
BIONER_LANE I shift_left(I a) {
  return reinterpret_cast<I>(reinterpret_cast<U>(a) << kBits);
}
BIONER_LANE I both(I a, I b) { return a & b; }
BIONER_LANE I widen(const std::int16_t* p) {
  typedef std::int16_t S __attribute__((vector_size(32)));
  S s;
  std::memcpy(&s, p, sizeof(s));
  return __builtin_convertvector(s, I);
}
template <typename T>
BIONER_LANE void narrow(I a, void* p) {
  typedef T N __attribute__((vector_size(16 * sizeof(T))));
  const N n = __builtin_convertvector(a, N);
  std::memcpy(p, &n, sizeof(n));
}

#endif

BIONER_LANE F load(const float* p) {
  F r;
  std::memcpy(&r, p, sizeof(r));
  return r;
}
BIONER_LANE I load(const std::int32_t* p) {
  I r;
  std::memcpy(&r, p, sizeof(r));
  return r;
}
BIONER_LANE void store(F a, float* p) { std::memcpy(p, &a, sizeof(a)); }
BIONER_LANE I bits(F a) {
  I r;
  std::memcpy(&r, &a, sizeof(r));
  return r;
}
BIONER_LANE F from_bits(I a) {
  F r;
  std::memcpy(&r, &a, sizeof(r));
  return r;
}

// Lanes l and l + 8 first, then l and l + 4, ...: one order at every level.
BIONER_LANE float sum(F a) {
  float v[16];
  store(a, v);
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) v[l] = v[l] + v[l + half];
  }
  return v[0];
}

// To the nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves it in the low bits.
BIONER_LANE I nearest(F x) { return bits(x + splat(12582912.0F)) - splat(std::int32_t{0x4B400000}); }

// e^x for x in [-87, 87], to 2 units in the last place: 2^n times a polynomial (Cephes expf) of the rest.
BIONER_LANE F exponential(F x) {
  x = larger(smaller(x, splat(87.0F)), splat(-87.0F));
  const F rounded = x * splat(1.44269504088896341F) + splat(12582912.0F);
  const I n = bits(rounded) - splat(std::int32_t{0x4B400000});
  const F whole = rounded - splat(12582912.0F);
  const F r = x - whole * splat(0.693359375F) - whole * splat(-2.12194440e-4F);
  F p = splat(1.9875691500e-4F);
  p = p * r + splat(1.3981999507e-3F);
  p = p * r + splat(8.3334519073e-3F);
  p = p * r + splat(4.1665795894e-2F);
  p = p * r + splat(1.6666665459e-1F);
  p = p * r + splat(5.0000001201e-1F);
  p = p * r * r + r + splat(1.0F);
  return from_bits(bits(p) + shift_left<23>(n));
}

}  // namespace bioner::infer::BIONER_LEVEL
