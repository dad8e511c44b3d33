// Vectors of int32 as fixed-point numbers, and of the float32 they come from, for x86; see simd-inl.h for the
// rules. Integer additions and maxima run at twice the rate of those of float32, and never round.
#include "base/core/macros.h"

namespace bioner::BIONER_LEVEL {

#if defined(BIONER_LEVEL_AVX2) || defined(BIONER_LEVEL_WIDE)

// The first n of four elements, none where n < 0; the rest are zeros.
BIONER_INLINE __m128 load_few(const float* p, std::int64_t n) {
  const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(n)), _mm_setr_epi32(0, 1, 2, 3));
  return _mm_maskload_ps(p, mask);
}
// Eight bytes to p as int64, and the first n of them, none where n < 0.
BIONER_INLINE void store_wide(std::int64_t* p, const std::uint8_t* bytes) {
  for (int i = 0; i < 8; i += 4) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + i), _mm256_cvtepu8_epi64(_mm_loadu_si32(bytes + i)));
  }
}
BIONER_INLINE void store_few(std::int64_t* p, const std::uint8_t* bytes, std::int64_t n) {
  for (int i = 0; i < 8; i += 4) {
    const __m256i mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x(n - i), _mm256_setr_epi64x(0, 1, 2, 3));
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p + i), mask,
                           _mm256_cvtepu8_epi64(_mm_loadu_si32(bytes + i)));
  }
}

struct F8 {
  __m256 v;
  BIONER_INLINE static F8 set1(float x) { return {_mm256_set1_ps(x)}; }
  BIONER_INLINE static F8 load(const void* p) { return {_mm256_loadu_ps(static_cast<const float*>(p))}; }
  // The first n of eight elements; the rest are `fill`.
  BIONER_INLINE static F8 load_n(const float* p, int n, F8 fill) {
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return {_mm256_blendv_ps(fill.v, _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask))};
  }
  BIONER_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  // Four columns of eight rows to x [4, stride]; row(i) is the four elements of row i.
  template <typename Row>
  BIONER_INLINE static void store_columns(const Row& row, float* x, int stride) {
    auto pair = [&](int i) { return _mm256_insertf128_ps(_mm256_castps128_ps256(row(i)), row(i + 4), 1); };
    const __m256 a = pair(0);
    const __m256 b = pair(1);
    const __m256 c = pair(2);
    const __m256 d = pair(3);
    const __m256d ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
    const __m256d cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
    const __m256d ef = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
    const __m256d gh = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    _mm256_storeu_ps(x, _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)));
    _mm256_storeu_ps(x + stride, _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
    _mm256_storeu_ps(x + 2 * stride, _mm256_castpd_ps(_mm256_unpacklo_pd(ef, gh)));
    _mm256_storeu_ps(x + 3 * stride, _mm256_castpd_ps(_mm256_unpackhi_pd(ef, gh)));
  }
};
struct Q8 {
  static constexpr int kLanes = 8;
  static constexpr int kColumns = 2;  // vectors that the registers hold for each of four sentences
  __m256i v;
  BIONER_INLINE static Q8 set1(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
  BIONER_INLINE static Q8 load(const std::int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  BIONER_INLINE void store(std::int32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  BIONER_INLINE void store_bits(float* p) const { _mm256_storeu_ps(p, _mm256_castsi256_ps(v)); }
  // rows [8, stride] of small numbers to bytes [8 lanes, 8], the lanes in the order of byte_place().
  BIONER_INLINE static void pack(const std::int32_t* rows, int stride, std::uint8_t* bytes) {
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    auto four = [&](const std::int32_t* p) {
      const __m256i ab = _mm256_packus_epi32(load(p).v, load(p + stride).v);
      const __m256i cd = _mm256_packus_epi32(load(p + 2 * stride).v, load(p + 3 * stride).v);
      return _mm256_shuffle_epi8(_mm256_packus_epi16(ab, cd), order);
    };
    const __m256i first = four(rows);
    const __m256i second = four(rows + 4 * stride);
    __m256i* const out = reinterpret_cast<__m256i*>(bytes);
    _mm256_storeu_si256(out, _mm256_unpacklo_epi32(first, second));
    _mm256_storeu_si256(out + 1, _mm256_unpackhi_epi32(first, second));
  }
  BIONER_INLINE static void pack(const std::int32_t* rows, std::uint8_t* bytes) { pack(rows, kLanes, bytes); }
  BIONER_INLINE static int byte_place(int lane) { return lane / 4 * 16 + lane % 4 / 2 * 32 + lane % 2 * 8; }
};
// Both: b where either is NaN.
BIONER_INLINE F8 max(F8 a, F8 b) { return {_mm256_max_ps(a.v, b.v)}; }
BIONER_INLINE F8 min(F8 a, F8 b) { return {_mm256_min_ps(a.v, b.v)}; }
// a * scale, to the nearest; the least integer where that is out of range or NaN.
BIONER_INLINE Q8 to_fixed(F8 a, F8 scale) { return {_mm256_cvtps_epi32(_mm256_mul_ps(a.v, scale.v))}; }
BIONER_INLINE Q8 operator+(Q8 a, Q8 b) { return {_mm256_add_epi32(a.v, b.v)}; }
BIONER_INLINE Q8 operator-(Q8 a, Q8 b) { return {_mm256_sub_epi32(a.v, b.v)}; }
BIONER_INLINE Q8 operator|(Q8 a, Q8 b) { return {_mm256_or_si256(a.v, b.v)}; }
BIONER_INLINE Q8 max(Q8 a, Q8 b) { return {_mm256_max_epi32(a.v, b.v)}; }
BIONER_INLINE F8 as_float(Q8 a) { return {_mm256_castsi256_ps(a.v)}; }
// sum, plus `amount` where a > b.
BIONER_INLINE Q8 add_where_greater(Q8 sum, Q8 a, Q8 b, Q8 amount) {
  return {_mm256_add_epi32(sum.v, _mm256_and_si256(_mm256_cmpgt_epi32(a.v, b.v), amount.v))};
}
// x where a > b, else y.
BIONER_INLINE Q8 where_greater(Q8 a, Q8 b, Q8 x, Q8 y) {
  return {_mm256_blendv_epi8(y.v, x.v, _mm256_cmpgt_epi32(a.v, b.v))};
}
BIONER_INLINE unsigned greater_bits(F8 a, F8 b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)));
}
BIONER_INLINE unsigned greater_bits(Q8 a, Q8 b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.v, b.v))));
}
// table[index] of each lane, if that is below kSize (at most 32), else any entry of the 32.
template <int kSize>
BIONER_INLINE Q8 look_up(const std::int32_t* table, Q8 index) {
  auto eight = [&](int first) { return _mm256_permutevar8x32_epi32(Q8::load(table + first).v, index.v); };
  // Bit `bit` of the index says which.
  auto pick = [&](__m256i zero, __m256i one, int bit) {
    const __m256 mask = _mm256_castsi256_ps(_mm256_slli_epi32(index.v, 31 - bit));
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(zero), _mm256_castsi256_ps(one), mask));
  };
  if constexpr (kSize <= 8) {
    return {eight(0)};
  } else if constexpr (kSize <= 16) {
    return {pick(eight(0), eight(8), 3)};
  } else {
    return {pick(pick(eight(0), eight(8), 3), pick(eight(16), eight(24), 3), 4)};
  }
}
BIONER_INLINE std::int32_t reduce_max(Q8 a) {
  __m128i x = _mm_max_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
}

#endif

#if defined(BIONER_LEVEL_AVX2)
using F = F8;
using Q = Q8;
#elif defined(BIONER_LEVEL_WIDE)

struct F16 {
  F8 a, b;
  BIONER_INLINE static F16 set1(float x) { return {F8::set1(x), F8::set1(x)}; }
  BIONER_INLINE static F16 load(const void* p) {
    return {F8::load(p), F8::load(static_cast<const float*>(p) + 8)};
  }
  BIONER_INLINE static F16 load_n(const float* p, int n, F16 fill) {
    return {F8::load_n(p, n, fill.a), F8::load_n(n > 8 ? p + 8 : p, n - 8, fill.b)};
  }
  BIONER_INLINE void store(float* p) const {
    a.store(p);
    b.store(p + 8);
  }
  template <typename Row>
  BIONER_INLINE static void store_columns(const Row& row, float* x, int stride) {
    F8::store_columns(row, x, stride);
    F8::store_columns([&](int i) { return row(i + 8); }, x + 8, stride);
  }
};
struct Q16 {
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 4;
  Q8 a, b;
  BIONER_INLINE static Q16 set1(std::int32_t x) { return {Q8::set1(x), Q8::set1(x)}; }
  BIONER_INLINE static Q16 load(const std::int32_t* p) { return {Q8::load(p), Q8::load(p + 8)}; }
  BIONER_INLINE void store(std::int32_t* p) const {
    a.store(p);
    b.store(p + 8);
  }
  BIONER_INLINE void store_bits(float* p) const {
    a.store_bits(p);
    b.store_bits(p + 8);
  }
  BIONER_INLINE static void pack(const std::int32_t* rows, std::uint8_t* bytes) {
    Q8::pack(rows, kLanes, bytes);
    Q8::pack(rows + 8, kLanes, bytes + 64);
  }
  BIONER_INLINE static int byte_place(int lane) { return lane / 8 * 64 + Q8::byte_place(lane % 8); }
};
BIONER_INLINE F16 max(F16 x, F16 y) { return {max(x.a, y.a), max(x.b, y.b)}; }
BIONER_INLINE F16 min(F16 x, F16 y) { return {min(x.a, y.a), min(x.b, y.b)}; }
BIONER_INLINE Q16 to_fixed(F16 x, F16 scale) { return {to_fixed(x.a, scale.a), to_fixed(x.b, scale.b)}; }
BIONER_INLINE Q16 operator+(Q16 x, Q16 y) { return {x.a + y.a, x.b + y.b}; }
BIONER_INLINE Q16 operator-(Q16 x, Q16 y) { return {x.a - y.a, x.b - y.b}; }
BIONER_INLINE Q16 operator|(Q16 x, Q16 y) { return {x.a | y.a, x.b | y.b}; }
BIONER_INLINE Q16 max(Q16 x, Q16 y) { return {max(x.a, y.a), max(x.b, y.b)}; }
BIONER_INLINE F16 as_float(Q16 x) { return {as_float(x.a), as_float(x.b)}; }
BIONER_INLINE Q16 add_where_greater(Q16 sum, Q16 x, Q16 y, Q16 amount) {
  return {add_where_greater(sum.a, x.a, y.a, amount.a), add_where_greater(sum.b, x.b, y.b, amount.b)};
}
BIONER_INLINE Q16 where_greater(Q16 a, Q16 b, Q16 x, Q16 y) {
  return {where_greater(a.a, b.a, x.a, y.a), where_greater(a.b, b.b, x.b, y.b)};
}
BIONER_INLINE unsigned greater_bits(F16 x, F16 y) {
  return greater_bits(x.a, y.a) | greater_bits(x.b, y.b) << 8;
}
BIONER_INLINE unsigned greater_bits(Q16 x, Q16 y) {
  return greater_bits(x.a, y.a) | greater_bits(x.b, y.b) << 8;
}
template <int kSize>
BIONER_INLINE Q16 look_up(const std::int32_t* table, Q16 index) {
  return {look_up<kSize>(table, index.a), look_up<kSize>(table, index.b)};
}
BIONER_INLINE std::int32_t reduce_max(Q16 x) { return reduce_max(max(x.a, x.b)); }
using F = F16;
using Q = Q16;

#elif defined(BIONER_LEVEL_AVX512)

BIONER_INLINE __mmask8 few(std::int64_t n) {
  return _mm256_cmpgt_epi64_mask(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
BIONER_INLINE __m128 load_few(const float* p, std::int64_t n) { return _mm_maskz_loadu_ps(few(n), p); }
BIONER_INLINE void store_wide(std::int64_t* p, const std::uint8_t* bytes) {
  _mm512_storeu_si512(p, _mm512_cvtepu8_epi64(_mm_loadu_si64(bytes)));
}
BIONER_INLINE void store_few(std::int64_t* p, const std::uint8_t* bytes, std::int64_t n) {
  const __mmask8 mask =
      _mm512_cmpgt_epi64_mask(_mm512_set1_epi64(n), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  _mm512_mask_storeu_epi64(p, mask, _mm512_cvtepu8_epi64(_mm_loadu_si64(bytes)));
}

struct F {
  __m512 v;
  BIONER_INLINE static F set1(float x) { return {_mm512_set1_ps(x)}; }
  BIONER_INLINE static F load(const void* p) { return {_mm512_loadu_ps(p)}; }
  BIONER_INLINE static F load_n(const float* p, int n, F fill) {
    return {_mm512_mask_loadu_ps(fill.v, static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1 << n) - 1), p)};
  }
  BIONER_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  // Four columns of sixteen rows to x [4, stride]; row(i) is the four elements of row i.
  template <typename Row>
  BIONER_INLINE static void store_columns(const Row& row, float* x, int stride) {
    auto four = [&](int i) {
      __m512 rows = _mm512_castps128_ps512(row(i));
      rows = _mm512_insertf32x4(rows, row(i + 4), 1);
      rows = _mm512_insertf32x4(rows, row(i + 8), 2);
      return _mm512_insertf32x4(rows, row(i + 12), 3);
    };
    const __m512 a = four(0);
    const __m512 b = four(1);
    const __m512 c = four(2);
    const __m512 d = four(3);
    const __m512d ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
    const __m512d cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
    const __m512d ef = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    const __m512d gh = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    _mm512_storeu_ps(x, _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)));
    _mm512_storeu_ps(x + stride, _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    _mm512_storeu_ps(x + 2 * stride, _mm512_castpd_ps(_mm512_unpacklo_pd(ef, gh)));
    _mm512_storeu_ps(x + 3 * stride, _mm512_castpd_ps(_mm512_unpackhi_pd(ef, gh)));
  }
};
struct Q {
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 4;
  __m512i v;
  BIONER_INLINE static Q set1(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
  BIONER_INLINE static Q load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
  BIONER_INLINE void store(std::int32_t* p) const { _mm512_storeu_si512(p, v); }
  BIONER_INLINE void store_bits(float* p) const { _mm512_storeu_ps(p, _mm512_castsi512_ps(v)); }
  BIONER_INLINE static void pack(const std::int32_t* rows, std::uint8_t* bytes) {
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    auto four = [&](const std::int32_t* p) {
      const __m512i ab = _mm512_packus_epi32(load(p).v, load(p + kLanes).v);
      const __m512i cd = _mm512_packus_epi32(load(p + 2 * kLanes).v, load(p + 3 * kLanes).v);
      return _mm512_shuffle_epi8(_mm512_packus_epi16(ab, cd), order);
    };
    const __m512i first = four(rows);
    const __m512i second = four(rows + 4 * kLanes);
    _mm512_storeu_si512(bytes, _mm512_unpacklo_epi32(first, second));
    _mm512_storeu_si512(bytes + 64, _mm512_unpackhi_epi32(first, second));
  }
  BIONER_INLINE static int byte_place(int lane) { return lane / 4 * 16 + lane % 4 / 2 * 64 + lane % 2 * 8; }
};
BIONER_INLINE F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
BIONER_INLINE F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
BIONER_INLINE Q to_fixed(F a, F scale) { return {_mm512_cvtps_epi32(_mm512_mul_ps(a.v, scale.v))}; }
BIONER_INLINE Q operator+(Q a, Q b) { return {_mm512_add_epi32(a.v, b.v)}; }
BIONER_INLINE Q operator-(Q a, Q b) { return {_mm512_sub_epi32(a.v, b.v)}; }
BIONER_INLINE Q operator|(Q a, Q b) { return {_mm512_or_si512(a.v, b.v)}; }
BIONER_INLINE Q max(Q a, Q b) { return {_mm512_max_epi32(a.v, b.v)}; }
BIONER_INLINE F as_float(Q a) { return {_mm512_castsi512_ps(a.v)}; }
BIONER_INLINE Q add_where_greater(Q sum, Q a, Q b, Q amount) {
  return {_mm512_mask_add_epi32(sum.v, _mm512_cmpgt_epi32_mask(a.v, b.v), sum.v, amount.v)};
}
BIONER_INLINE Q where_greater(Q a, Q b, Q x, Q y) {
  return {_mm512_mask_mov_epi32(y.v, _mm512_cmpgt_epi32_mask(a.v, b.v), x.v)};
}
BIONER_INLINE unsigned greater_bits(F a, F b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
BIONER_INLINE unsigned greater_bits(Q a, Q b) { return _mm512_cmpgt_epi32_mask(a.v, b.v); }
template <int kSize>
BIONER_INLINE Q look_up(const std::int32_t* table, Q index) {
  if constexpr (kSize <= 16) return {_mm512_permutexvar_epi32(index.v, Q::load(table).v)};
  return {_mm512_permutex2var_epi32(Q::load(table).v, index.v, Q::load(table + 16).v)};
}
BIONER_INLINE std::int32_t reduce_max(Q a) { return _mm512_reduce_max_epi32(a.v); }

#endif

}  // namespace bioner::BIONER_LEVEL
