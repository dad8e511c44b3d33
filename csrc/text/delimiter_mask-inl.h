// Where the delimiters of 64 bytes are, with the instructions that the including file is compiled for; in the
// namespace BIONER_LEVEL, so that no copy is shared between levels. No include guard: once per file.

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

#include "base/core/macros.h"

namespace bioner::conll::BIONER_LEVEL {

// Bit i is set where p[i] is a tab, a space or part of a line end; reads 64 bytes.
BIONER_INLINE std::uint64_t delimiter_mask(const unsigned char* p) {
#if defined(__AVX512BW__)
  const __m512i x = _mm512_loadu_si512(p);
  return _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\n')) |
         _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\t')) |
         _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(' ')) | _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\r'));
#elif defined(__AVX2__)
  const __m256i newline = _mm256_set1_epi8('\n'), tab = _mm256_set1_epi8('\t');
  const __m256i space = _mm256_set1_epi8(' '), carriage = _mm256_set1_epi8('\r');
  std::uint64_t mask = 0;
  for (int k = 0; k < 2; ++k) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32 * k));
    const __m256i hit =
        _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi8(x, newline), _mm256_cmpeq_epi8(x, tab)),
                        _mm256_or_si256(_mm256_cmpeq_epi8(x, space), _mm256_cmpeq_epi8(x, carriage)));
    mask |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(hit))) << (32 * k);
  }
  return mask;
#elif defined(__SSE2__) || defined(_M_X64)
  const __m128i newline = _mm_set1_epi8('\n'), tab = _mm_set1_epi8('\t');
  const __m128i space = _mm_set1_epi8(' '), carriage = _mm_set1_epi8('\r');
  std::uint64_t mask = 0;
  for (int k = 0; k < 4; ++k) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * k));
    const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, newline), _mm_cmpeq_epi8(x, tab)),
                                     _mm_or_si128(_mm_cmpeq_epi8(x, space), _mm_cmpeq_epi8(x, carriage)));
    mask |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(hit))) << (16 * k);
  }
  return mask;
#elif defined(__ARM_NEON) && defined(__aarch64__)
  const uint8x16_t bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t hit[4];
  for (int k = 0; k < 4; ++k) {
    const uint8x16_t x = vld1q_u8(p + 16 * k);
    const uint8x16_t any = vorrq_u8(vorrq_u8(vceqq_u8(x, vdupq_n_u8('\n')), vceqq_u8(x, vdupq_n_u8('\t'))),
                                    vorrq_u8(vceqq_u8(x, vdupq_n_u8(' ')), vceqq_u8(x, vdupq_n_u8('\r'))));
    hit[k] = vandq_u8(any, bits);
  }
  const uint8x16_t sum = vpaddq_u8(vpaddq_u8(hit[0], hit[1]), vpaddq_u8(hit[2], hit[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
#else
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) {
    const unsigned char c = p[i];
    mask |= static_cast<std::uint64_t>(c == '\n' || c == '\t' || c == ' ' || c == '\r') << i;
  }
  return mask;
#endif
}

}  // namespace bioner::conll::BIONER_LEVEL
