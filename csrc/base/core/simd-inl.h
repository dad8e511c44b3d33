// A vector of float64 and one of 64-bit integers, for the files that are compiled for one instruction set.
// Included once per such file, after level-inl.h, with BIONER_LEVEL naming the namespace and
// one of BIONER_LEVEL_SCALAR, _AVX2, _AVX512, _NEON, _WIDE (pairs of AVX2 registers, so that 512-bit code can
// be tested without AVX-512) defined. Everything lives in that namespace and is inlined: nothing compiled for
// a newer processor can be picked by the linker for an older one.
//
// `max(a, b)` is a > b ? a : b, bit for bit: b where they are equal or where either is NaN.
#include "base/core/macros.h"

namespace bioner::BIONER_LEVEL {

#if defined(BIONER_LEVEL_AVX2) || defined(BIONER_LEVEL_WIDE)

struct V4 {
  static constexpr int kLanes = 4;
  using Mask = __m256d;
  __m256d v;
  BIONER_INLINE static V4 set1(double x) { return {_mm256_set1_pd(x)}; }
  BIONER_INLINE static V4 load(const double* p) { return {_mm256_loadu_pd(p)}; }
  BIONER_INLINE static V4 load(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
  // The first n of four elements; the rest are `fill`.
  BIONER_INLINE static V4 load_n(const double* p, int n, V4 fill) {
    const __m256i mask = tail(n);
    return {_mm256_blendv_pd(fill.v, _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask))};
  }
  BIONER_INLINE static V4 load_n(const float* p, int n, V4 fill) {
    const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(n), _mm_setr_epi32(0, 1, 2, 3));
    return {
        _mm256_blendv_pd(fill.v, _mm256_cvtps_pd(_mm_maskload_ps(p, mask)), _mm256_castsi256_pd(tail(n)))};
  }
  // Lane l takes p[l][index].
  template <typename T>
  BIONER_INLINE static V4 collect(const T* const* p, int index) {
    return {_mm256_setr_pd(static_cast<double>(p[0][index]), static_cast<double>(p[1][index]),
                           static_cast<double>(p[2][index]), static_cast<double>(p[3][index]))};
  }
  BIONER_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
  // The first n of four elements. No masked stores: they are microcode on many processors.
  BIONER_INLINE void store_n(double* p, int n) const {
    if (n >= 4) return store(p);
    __m128d pair = _mm256_castpd256_pd128(v);
    if (n >= 2) {
      _mm_storeu_pd(p, pair);
      pair = _mm256_extractf128_pd(v, 1);
    }
    if (n & 1) _mm_store_sd(p + (n & 2), pair);
  }
  BIONER_INLINE void store_n(float* p, int n) const {
    const __m128 single = _mm256_cvtpd_ps(v);
    if (n >= 4) return _mm_storeu_ps(p, single);
    const __m128 upper = _mm_movehl_ps(single, single);
    if (n >= 2) _mm_storel_pi(reinterpret_cast<__m64*>(p), single);
    if (n & 1) _mm_store_ss(p + (n & 2), n & 2 ? upper : single);
  }
  BIONER_INLINE static __m256i tail(int n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
};
struct I4 {
  __m256i v;
  BIONER_INLINE static I4 set1(std::int64_t x) { return {_mm256_set1_epi64x(x)}; }
  BIONER_INLINE void store(std::uint64_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
};
BIONER_INLINE V4 operator+(V4 a, V4 b) { return {_mm256_add_pd(a.v, b.v)}; }
BIONER_INLINE V4 operator-(V4 a, V4 b) { return {_mm256_sub_pd(a.v, b.v)}; }
BIONER_INLINE V4 operator*(V4 a, V4 b) { return {_mm256_mul_pd(a.v, b.v)}; }
BIONER_INLINE V4 max(V4 a, V4 b) { return {_mm256_max_pd(a.v, b.v)}; }
BIONER_INLINE __m256d greater(V4 a, V4 b) { return _mm256_cmp_pd(a.v, b.v, _CMP_GT_OQ); }
BIONER_INLINE __m256d equal(V4 a, V4 b) { return _mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ); }
BIONER_INLINE V4 select(__m256d mask, V4 a, V4 b) { return {_mm256_blendv_pd(b.v, a.v, mask)}; }
BIONER_INLINE I4 bits(V4 a) { return {_mm256_castpd_si256(a.v)}; }
BIONER_INLINE V4 from_bits(I4 a) { return {_mm256_castsi256_pd(a.v)}; }
BIONER_INLINE I4 operator+(I4 a, I4 b) { return {_mm256_add_epi64(a.v, b.v)}; }
BIONER_INLINE unsigned equal_bits(V4 a, V4 b) {
  return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)));
}
BIONER_INLINE I4 select(__m256d mask, I4 a, I4 b) {
  return {_mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(b.v), _mm256_castsi256_pd(a.v), mask))};
}
BIONER_INLINE I4 operator|(I4 a, I4 b) { return {_mm256_or_si256(a.v, b.v)}; }
template <int kBits>
BIONER_INLINE I4 shift_left(I4 a) {
  return {_mm256_slli_epi64(a.v, kBits)};
}
BIONER_INLINE double reduce_max(V4 a) {
  const __m128d pair = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(pair, _mm_unpackhi_pd(pair, pair)));
}
BIONER_INLINE double reduce_add(V4 a) {
  const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
}
#if defined(__FMA__)
BIONER_INLINE V4 multiply_add(V4 a, V4 b, V4 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
#endif

#endif

#if defined(BIONER_LEVEL_AVX2)
using V = V4;
using I = I4;
#elif defined(BIONER_LEVEL_WIDE)

struct Mask8 {
  __m256d a, b;
};
struct V8 {
  static constexpr int kLanes = 8;
  V4 a, b;
  BIONER_INLINE static V8 set1(double x) { return {V4::set1(x), V4::set1(x)}; }
  template <typename T>
  BIONER_INLINE static V8 load(const T* p) {
    return {V4::load(p), V4::load(p + 4)};
  }
  template <typename T>
  BIONER_INLINE static V8 load_n(const T* p, int n, V8 fill) {
    return {V4::load_n(p, n, fill.a), V4::load_n(n > 4 ? p + 4 : p, n - 4, fill.b)};
  }
  template <typename T>
  BIONER_INLINE static V8 collect(const T* const* p, int index) {
    return {V4::collect(p, index), V4::collect(p + 4, index)};
  }
  BIONER_INLINE void store(double* p) const {
    a.store(p);
    b.store(p + 4);
  }
  template <typename T>
  BIONER_INLINE void store_n(T* p, int n) const {
    if (n > 0) a.store_n(p, n);
    if (n > 4) b.store_n(p + 4, n - 4);
  }
};
struct I8 {
  I4 a, b;
  BIONER_INLINE static I8 set1(std::int64_t x) { return {I4::set1(x), I4::set1(x)}; }
  BIONER_INLINE void store(std::uint64_t* p) const {
    a.store(p);
    b.store(p + 4);
  }
};
BIONER_INLINE V8 operator+(V8 x, V8 y) { return {x.a + y.a, x.b + y.b}; }
BIONER_INLINE V8 operator-(V8 x, V8 y) { return {x.a - y.a, x.b - y.b}; }
BIONER_INLINE V8 operator*(V8 x, V8 y) { return {x.a * y.a, x.b * y.b}; }
BIONER_INLINE V8 max(V8 x, V8 y) { return {max(x.a, y.a), max(x.b, y.b)}; }
BIONER_INLINE Mask8 greater(V8 x, V8 y) { return {greater(x.a, y.a), greater(x.b, y.b)}; }
BIONER_INLINE Mask8 equal(V8 x, V8 y) { return {equal(x.a, y.a), equal(x.b, y.b)}; }
BIONER_INLINE V8 select(Mask8 mask, V8 x, V8 y) {
  return {select(mask.a, x.a, y.a), select(mask.b, x.b, y.b)};
}
BIONER_INLINE I8 bits(V8 x) { return {bits(x.a), bits(x.b)}; }
BIONER_INLINE V8 from_bits(I8 x) { return {from_bits(x.a), from_bits(x.b)}; }
BIONER_INLINE I8 operator+(I8 x, I8 y) { return {x.a + y.a, x.b + y.b}; }
BIONER_INLINE unsigned equal_bits(V8 x, V8 y) { return equal_bits(x.a, y.a) | equal_bits(x.b, y.b) << 4; }
BIONER_INLINE I8 select(Mask8 mask, I8 x, I8 y) {
  return {select(mask.a, x.a, y.a), select(mask.b, x.b, y.b)};
}
BIONER_INLINE I8 operator|(I8 x, I8 y) { return {x.a | y.a, x.b | y.b}; }
template <int kBits>
BIONER_INLINE I8 shift_left(I8 x) {
  return {shift_left<kBits>(x.a), shift_left<kBits>(x.b)};
}
BIONER_INLINE double reduce_max(V8 x) { return reduce_max(max(x.a, x.b)); }
BIONER_INLINE double reduce_add(V8 x) { return reduce_add(x.a + x.b); }
#if defined(__FMA__)
BIONER_INLINE V8 multiply_add(V8 x, V8 y, V8 z) {
  return {multiply_add(x.a, y.a, z.a), multiply_add(x.b, y.b, z.b)};
}
#endif
using V = V8;
using I = I8;

#elif defined(BIONER_LEVEL_AVX512)

struct V {
  static constexpr int kLanes = 8;
  __m512d v;
  BIONER_INLINE static V set1(double x) { return {_mm512_set1_pd(x)}; }
  BIONER_INLINE static V load(const double* p) { return {_mm512_loadu_pd(p)}; }
  BIONER_INLINE static V load(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
  BIONER_INLINE static V load_n(const double* p, int n, V fill) {
    return {_mm512_mask_loadu_pd(fill.v, tail(n), p)};
  }
  BIONER_INLINE static V load_n(const float* p, int n, V fill) {
    return {_mm512_mask_cvtps_pd(fill.v, tail(n), _mm256_maskz_loadu_ps(tail(n), p))};
  }
  template <typename T>
  BIONER_INLINE static V collect(const T* const* p, int index) {
    return {_mm512_setr_pd(static_cast<double>(p[0][index]), static_cast<double>(p[1][index]),
                           static_cast<double>(p[2][index]), static_cast<double>(p[3][index]),
                           static_cast<double>(p[4][index]), static_cast<double>(p[5][index]),
                           static_cast<double>(p[6][index]), static_cast<double>(p[7][index]))};
  }
  BIONER_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
  BIONER_INLINE void store_n(double* p, int n) const { _mm512_mask_storeu_pd(p, tail(n), v); }
  BIONER_INLINE void store_n(float* p, int n) const { _mm256_mask_storeu_ps(p, tail(n), _mm512_cvtpd_ps(v)); }
  BIONER_INLINE static __mmask8 tail(int n) {
    return static_cast<__mmask8>(n >= 8 ? 0xFF : (n <= 0 ? 0 : (1 << n) - 1));
  }
};
struct I {
  __m512i v;
  BIONER_INLINE static I set1(std::int64_t x) { return {_mm512_set1_epi64(x)}; }
  BIONER_INLINE void store(std::uint64_t* p) const { _mm512_storeu_si512(p, v); }
};
BIONER_INLINE V operator+(V a, V b) { return {_mm512_add_pd(a.v, b.v)}; }
BIONER_INLINE V operator-(V a, V b) { return {_mm512_sub_pd(a.v, b.v)}; }
BIONER_INLINE V operator*(V a, V b) { return {_mm512_mul_pd(a.v, b.v)}; }
BIONER_INLINE V max(V a, V b) { return {_mm512_max_pd(a.v, b.v)}; }
BIONER_INLINE __mmask8 greater(V a, V b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ); }
BIONER_INLINE __mmask8 equal(V a, V b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
BIONER_INLINE V select(__mmask8 mask, V a, V b) { return {_mm512_mask_blend_pd(mask, b.v, a.v)}; }
BIONER_INLINE I bits(V a) { return {_mm512_castpd_si512(a.v)}; }
BIONER_INLINE V from_bits(I a) { return {_mm512_castsi512_pd(a.v)}; }
BIONER_INLINE I operator+(I a, I b) { return {_mm512_add_epi64(a.v, b.v)}; }
BIONER_INLINE unsigned equal_bits(V a, V b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
BIONER_INLINE I select(__mmask8 mask, I a, I b) { return {_mm512_mask_blend_epi64(mask, b.v, a.v)}; }
BIONER_INLINE I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int kBits>
BIONER_INLINE I shift_left(I a) {
  return {_mm512_slli_epi64(a.v, kBits)};
}
BIONER_INLINE double reduce_max(V a) { return _mm512_reduce_max_pd(a.v); }
BIONER_INLINE double reduce_add(V a) { return _mm512_reduce_add_pd(a.v); }
BIONER_INLINE V multiply_add(V a, V b, V c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }

#elif defined(BIONER_LEVEL_NEON)

struct V {
  static constexpr int kLanes = 2;
  float64x2_t v;
  BIONER_INLINE static V set1(double x) { return {vdupq_n_f64(x)}; }
  BIONER_INLINE static V load(const double* p) { return {vld1q_f64(p)}; }
  BIONER_INLINE static V load(const float* p) { return {vcvt_f64_f32(vld1_f32(p))}; }
  template <typename T>
  BIONER_INLINE static V load_n(const T* p, int n, V fill) {
    if (n >= 2) return load(p);
    return n == 1 ? V{vsetq_lane_f64(static_cast<double>(*p), fill.v, 0)} : fill;
  }
  template <typename T>
  BIONER_INLINE static V collect(const T* const* p, int index) {
    return {
        vsetq_lane_f64(static_cast<double>(p[1][index]), vdupq_n_f64(static_cast<double>(p[0][index])), 1)};
  }
  BIONER_INLINE void store(double* p) const { vst1q_f64(p, v); }
  template <typename T>
  BIONER_INLINE void store_n(T* p, int n) const {
    if (n > 0) p[0] = static_cast<T>(vgetq_lane_f64(v, 0));
    if (n > 1) p[1] = static_cast<T>(vgetq_lane_f64(v, 1));
  }
};
struct I {
  uint64x2_t v;
  BIONER_INLINE static I set1(std::int64_t x) { return {vdupq_n_u64(static_cast<std::uint64_t>(x))}; }
  BIONER_INLINE void store(std::uint64_t* p) const { vst1q_u64(p, v); }
};
BIONER_INLINE V operator+(V a, V b) { return {vaddq_f64(a.v, b.v)}; }
BIONER_INLINE V operator-(V a, V b) { return {vsubq_f64(a.v, b.v)}; }
BIONER_INLINE V operator*(V a, V b) { return {vmulq_f64(a.v, b.v)}; }
BIONER_INLINE uint64x2_t greater(V a, V b) { return vcgtq_f64(a.v, b.v); }
// Not vmaxq_f64: that one spreads NaN and orders the zeros.
BIONER_INLINE V max(V a, V b) { return {vbslq_f64(greater(a, b), a.v, b.v)}; }
BIONER_INLINE unsigned equal_bits(V a, V b) {
  const uint64x2_t equal = vceqq_f64(a.v, b.v);
  return static_cast<unsigned>((vgetq_lane_u64(equal, 0) & 1U) | (vgetq_lane_u64(equal, 1) & 2U));
}
BIONER_INLINE uint64x2_t equal(V a, V b) { return vceqq_f64(a.v, b.v); }
BIONER_INLINE V select(uint64x2_t mask, V a, V b) { return {vbslq_f64(mask, a.v, b.v)}; }
BIONER_INLINE I bits(V a) { return {vreinterpretq_u64_f64(a.v)}; }
BIONER_INLINE V from_bits(I a) { return {vreinterpretq_f64_u64(a.v)}; }
BIONER_INLINE I operator+(I a, I b) { return {vaddq_u64(a.v, b.v)}; }
BIONER_INLINE I select(uint64x2_t mask, I a, I b) { return {vbslq_u64(mask, a.v, b.v)}; }
BIONER_INLINE I operator|(I a, I b) { return {vorrq_u64(a.v, b.v)}; }
template <int kBits>
BIONER_INLINE I shift_left(I a) {
  return {vshlq_n_u64(a.v, kBits)};
}
BIONER_INLINE double reduce_max(V a) {
  const double x = vgetq_lane_f64(a.v, 0);
  const double y = vgetq_lane_f64(a.v, 1);
  return x > y ? x : y;
}
BIONER_INLINE double reduce_add(V a) { return vgetq_lane_f64(a.v, 0) + vgetq_lane_f64(a.v, 1); }
BIONER_INLINE V multiply_add(V a, V b, V c) { return {vfmaq_f64(c.v, a.v, b.v)}; }

#elif defined(BIONER_LEVEL_SCALAR)

// One lane, for algorithms that are written with vectors only. Needs <cstring>.
struct V {
  static constexpr int kLanes = 1;
  double v;
  BIONER_INLINE static V set1(double x) { return {x}; }
  template <typename T>
  BIONER_INLINE static V load(const T* p) {
    return {static_cast<double>(*p)};
  }
  template <typename T>
  BIONER_INLINE static V load_n(const T* p, int n, V fill) {
    return n > 0 ? load(p) : fill;
  }
  BIONER_INLINE void store(double* p) const { *p = v; }
  template <typename T>
  BIONER_INLINE void store_n(T* p, int n) const {
    if (n > 0) *p = static_cast<T>(v);
  }
};
struct I {
  std::uint64_t v;
};
BIONER_INLINE V operator+(V a, V b) { return {a.v + b.v}; }
BIONER_INLINE V operator-(V a, V b) { return {a.v - b.v}; }
BIONER_INLINE V operator*(V a, V b) { return {a.v * b.v}; }
BIONER_INLINE bool greater(V a, V b) { return a.v > b.v; }
BIONER_INLINE V max(V a, V b) { return {a.v > b.v ? a.v : b.v}; }
BIONER_INLINE bool equal(V a, V b) { return a.v == b.v; }
BIONER_INLINE V select(bool mask, V a, V b) { return mask ? a : b; }
BIONER_INLINE I bits(V a) {
  I out;
  std::memcpy(&out.v, &a.v, sizeof(double));
  return out;
}
BIONER_INLINE V from_bits(I a) {
  V out;
  std::memcpy(&out.v, &a.v, sizeof(double));
  return out;
}
BIONER_INLINE I operator+(I a, I b) { return {a.v + b.v}; }
template <int kBits>
BIONER_INLINE I shift_left(I a) {
  return {a.v << kBits};
}
BIONER_INLINE double reduce_max(V a) { return a.v; }
BIONER_INLINE double reduce_add(V a) { return a.v; }
BIONER_INLINE V multiply_add(V a, V b, V c) { return {a.v * b.v + c.v}; }

#endif

}  // namespace bioner::BIONER_LEVEL
