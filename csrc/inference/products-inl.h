// Products of one group of 4 bytes of a row with the weights of 16 columns, at the precisions. Included by
// isa-inl.h. Each product says what becomes of a row's group (spread), adds it times weights to a sum
// (accumulate), tells what a whole sum stands for (finish), and how many vectors of columns a tile of kTile
// rows has registers for.

namespace bioner::infer::BIONER_LEVEL {
namespace {

#if defined(__AVX512F__)
BIONER_LANE __m512 plain(F x) { return reinterpret_cast<__m512>(x); }
BIONER_LANE __m512i plain(I x) { return reinterpret_cast<__m512i>(x); }
#elif defined(__AVX2__)
BIONER_LANE __m256i half(const std::uint8_t* w, int which) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w) + which);
}
#endif

struct Float32 {
#if defined(__AVX512F__)
  static constexpr int kVectors = 4;  // 24 of 32 registers hold sums
  using Sum = F;
  using Row = __m512;
  BIONER_LANE static Row spread(std::int32_t group) { return plain(from_bits(splat(group))); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    return reinterpret_cast<F>(_mm512_fmadd_ps(row, _mm512_loadu_ps(w), plain(s)));
  }
#elif defined(__AVX2__)
  static constexpr int kVectors = 1;  // 12 of 16
  using Sum = F;
  using Row = __m256;
  BIONER_LANE static Row spread(std::int32_t group) { return _mm256_castsi256_ps(_mm256_set1_epi32(group)); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    s.low = _mm256_fmadd_ps(row, _mm256_castsi256_ps(half(w, 0)), s.low);
    s.high = _mm256_fmadd_ps(row, _mm256_castsi256_ps(half(w, 1)), s.high);
    return s;
  }
#else
  static constexpr int kVectors = 1;
  using Sum = F;
  using Row = F;
  BIONER_LANE static Row spread(std::int32_t group) { return from_bits(splat(group)); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    F b;
    std::memcpy(&b, w, sizeof(b));
    return s + row * b;
  }
#endif
  BIONER_LANE static F finish(F s, const Linear& op, std::int64_t column) {
    return s + load(op.bias + column);
  }
};

// Without an instruction of its own: two float32 products, of the halves of a group.
struct BFloat16 {
#if defined(__AVX512BF16__)
  static constexpr int kVectors = 4;
  using Sum = F;
  using Row = __m512i;
  BIONER_LANE static Row spread(std::int32_t group) { return _mm512_set1_epi32(group); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    return reinterpret_cast<F>(_mm512_dpbf16_ps(plain(s), reinterpret_cast<__m512bh>(row),
                                                reinterpret_cast<__m512bh>(_mm512_loadu_si512(w))));
  }
#elif defined(__AVX512F__)
  static constexpr int kVectors = 4;  // and weights are widened once for all rows
  using Sum = F;
  struct Row {
    __m512 first, second;
  };
  BIONER_LANE static __m512 first_of(I x) { return plain(from_bits(shift_left<16>(x))); }
  BIONER_LANE static __m512 second_of(I x) {
    return plain(from_bits(both(x, splat(std::int32_t(0xFFFF0000)))));
  }
  BIONER_LANE static Row spread(std::int32_t group) {
    const I x = splat(group);
    return {first_of(x), second_of(x)};
  }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    I b;
    std::memcpy(&b, w, sizeof(b));
    const __m512 one = _mm512_fmadd_ps(row.first, first_of(b), plain(s));
    return reinterpret_cast<F>(_mm512_fmadd_ps(row.second, second_of(b), one));
  }
#elif defined(__AVX2__)
  static constexpr int kVectors = 1;
  using Sum = F;
  struct Row {
    __m256 first, second;
  };
  BIONER_LANE static __m256 first_of(__m256i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)); }
  BIONER_LANE static __m256 second_of(__m256i x) {
    return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(std::int32_t(0xFFFF0000))));
  }
  BIONER_LANE static Row spread(std::int32_t group) {
    const __m256i x = _mm256_set1_epi32(group);
    return {first_of(x), second_of(x)};
  }
  BIONER_LANE static __m256 add(__m256 s, Row row, __m256i w) {
    return _mm256_fmadd_ps(row.second, second_of(w), _mm256_fmadd_ps(row.first, first_of(w), s));
  }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    return {add(s.low, row, half(w, 0)), add(s.high, row, half(w, 1))};
  }
#else
  static constexpr int kVectors = 1;
  using Sum = F;
  using Row = I;
  BIONER_LANE static Row spread(std::int32_t group) { return splat(group); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    I b;
    std::memcpy(&b, w, sizeof(b));
    const I high = splat(std::int32_t(0xFFFF0000));
    s = s + from_bits(shift_left<16>(row)) * from_bits(shift_left<16>(b));
    return s + from_bits(both(row, high)) * from_bits(both(b, high));
  }
#endif
  BIONER_LANE static F finish(F s, const Linear& op, std::int64_t column) {
    return s + load(op.bias + column);
  }
};

// Exact everywhere. Without VNNI the even and the odd bytes are widened to 16 bits: sums of two of their
// products are int32.
struct Int8 {
#if defined(__AVX512VNNI__)
  static constexpr int kVectors = 4;
  using Sum = I;
  using Row = __m512i;
  BIONER_LANE static Row spread(std::int32_t group) { return _mm512_set1_epi32(group); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    return reinterpret_cast<I>(_mm512_dpbusd_epi32(plain(s), row, _mm512_loadu_si512(w)));
  }
#elif defined(__AVX512F__)
  static constexpr int kVectors = 4;
  using Sum = I;
  struct Row {
    __m512i even, odd;
  };
  BIONER_LANE static Row spread(std::int32_t group) {
    const __m512i x = _mm512_set1_epi32(group);
    return {_mm512_and_si512(x, _mm512_set1_epi16(0xFF)), _mm512_srli_epi16(x, 8)};
  }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    const __m512i b = _mm512_loadu_si512(w);
    const __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8);
    const __m512i one = _mm512_add_epi32(plain(s), _mm512_madd_epi16(row.even, even));
    return reinterpret_cast<I>(_mm512_add_epi32(one, _mm512_madd_epi16(row.odd, _mm512_srai_epi16(b, 8))));
  }
#elif defined(__AVXVNNI__)
  static constexpr int kVectors = 1;
  using Sum = I;
  using Row = __m256i;
  BIONER_LANE static Row spread(std::int32_t group) { return _mm256_set1_epi32(group); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    return {_mm256_dpbusd_avx_epi32(s.low, row, half(w, 0)),
            _mm256_dpbusd_avx_epi32(s.high, row, half(w, 1))};
  }
#elif defined(__AVX2__)
  static constexpr int kVectors = 1;
  using Sum = I;
  struct Row {
    __m256i even, odd;
  };
  BIONER_LANE static Row spread(std::int32_t group) {
    const __m256i x = _mm256_set1_epi32(group);
    return {_mm256_and_si256(x, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16(x, 8)};
  }
  BIONER_LANE static __m256i add(__m256i s, Row row, __m256i w) {
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
    const __m256i one = _mm256_add_epi32(s, _mm256_madd_epi16(row.even, even));
    return _mm256_add_epi32(one, _mm256_madd_epi16(row.odd, _mm256_srai_epi16(w, 8)));
  }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    return {add(s.low, row, half(w, 0)), add(s.high, row, half(w, 1))};
  }
#else
  static constexpr int kVectors = 1;
  using Sum = I;
  using Row = I;
  BIONER_LANE static Row spread(std::int32_t group) { return splat(group); }
  BIONER_LANE static Sum accumulate(Sum s, Row row, const std::uint8_t* w) {
    I b;
    std::memcpy(&b, w, sizeof(b));
    const I byte = splat(std::int32_t{255});
    s = s + both(row, byte) * shift_right<24>(shift_left<24>(b));
    s = s + both(shift_right<8>(row), byte) * shift_right<24>(shift_left<16>(b));
    s = s + both(shift_right<16>(row), byte) * shift_right<24>(shift_left<8>(b));
    return s + both(shift_right<24>(row), byte) * shift_right<24>(b);
  }
#endif
  BIONER_LANE static F finish(I s, const Linear& op, std::int64_t column) {
    return to_float(s - load(op.shift + column)) * load(op.scale + column) + load(op.bias + column);
  }
};

}  // namespace
}  // namespace bioner::infer::BIONER_LEVEL
