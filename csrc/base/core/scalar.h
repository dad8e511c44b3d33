// Element types of tensors, and the half types in portable arithmetic: every backend converts them bit for
// bit alike. A NaN is stored as the one quiet NaN without a sign: which NaN arithmetic gives, backends differ
// in.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/core/macros.h"

namespace bioner {

enum class Scalar { kFloat16, kBFloat16, kFloat32, kFloat64 };

constexpr std::int64_t scalar_bytes(Scalar scalar) {
  return scalar == Scalar::kFloat64 ? 8 : (scalar == Scalar::kFloat32 ? 4 : 2);
}

// Sums are kept in this many bytes: half types accumulate in float32.
constexpr std::int64_t accumulator_bytes(Scalar scalar) { return scalar == Scalar::kFloat64 ? 8 : 4; }

BIONER_HD BIONER_INLINE std::uint32_t float_bits(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

BIONER_HD BIONER_INLINE float bits_float(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

struct Float16 {
  std::uint16_t bits;
};

struct BFloat16 {
  std::uint16_t bits;
};

BIONER_HD BIONER_INLINE float load_scalar(float value) { return value; }
BIONER_HD BIONER_INLINE double load_scalar(double value) { return value; }

BIONER_HD BIONER_INLINE float load_scalar(BFloat16 value) {
  return bits_float(static_cast<std::uint32_t>(value.bits) << 16);
}

// Free of branches, so that loops over it vectorise. Subnormal halves take the subtraction, all others the
// product.
BIONER_HD BIONER_INLINE float load_scalar(Float16 value) {
  const std::uint32_t word = static_cast<std::uint32_t>(value.bits) << 16;
  const std::uint32_t sign = word & 0x80000000U;
  const std::uint32_t doubled = word + word;
  const float normal = bits_float((doubled >> 4) + (0xE0U << 23)) * bits_float(0x07800000U);  // 2^-112
  const float subnormal = bits_float((doubled >> 17) | (126U << 23)) - 0.5f;
  return bits_float(sign | float_bits(doubled < (1U << 27) ? subnormal : normal));
}

template <typename T>
struct ScalarTraits;

template <>
struct ScalarTraits<float> {
  using Accumulator = float;
  BIONER_HD static BIONER_INLINE float store(float value) { return value; }
};

template <>
struct ScalarTraits<double> {
  using Accumulator = double;
  BIONER_HD static BIONER_INLINE double store(double value) { return value; }
};

template <>
struct ScalarTraits<BFloat16> {
  using Accumulator = float;
  // Round to nearest, ties to even.
  BIONER_HD static BIONER_INLINE BFloat16 store(float value) {
    const std::uint32_t bits = float_bits(value);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    return {static_cast<std::uint16_t>(nan ? 0x7FC0U : rounded)};
  }
};

template <>
struct ScalarTraits<Float16> {
  using Accumulator = float;
  // Round to nearest, ties to even: adding a power of two that is 2^13 above the last bit to keep rounds in
  // hardware.
  BIONER_HD static BIONER_INLINE Float16 store(float value) {
    const std::uint32_t word = float_bits(value);
    const std::uint32_t doubled = word + word;
    float base =
        bits_float(word & 0x7FFFFFFFU) * bits_float(0x77800000U) * bits_float(0x08800000U);  // 2^112 * 2^-110
    std::uint32_t bias = doubled & 0xFF000000U;
    bias = bias < 0x71000000U ? 0x71000000U : bias;
    base = bits_float((bias >> 1) + 0x07800000U) + base;
    const std::uint32_t bits = float_bits(base);
    const std::uint32_t magnitude = ((bits >> 13) & 0x7C00U) + (bits & 0x0FFFU);
    const std::uint32_t sign = (word & 0x80000000U) >> 16;
    return {static_cast<std::uint16_t>(doubled > 0xFF000000U ? 0x7E00U : sign | magnitude)};
  }
};

}  // namespace bioner
