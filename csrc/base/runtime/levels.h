// From a level to the entry points that its file exports. A kernel folder exports, for the levels of its
// build, `LEVEL::kernels` of a type `Kernels`, or `LEVEL::f32` and `LEVEL::f64` where they depend on the
// element type.
#pragma once

#include "base/runtime/simd.h"

// The levels of this build but for the scalar one, which every build has: X(namespace, enumerator) for each.
#if defined(BIONER_X86_LEVELS) && defined(BIONER_TEST_LEVELS)
#define BIONER_LEVELS(X) X(avx2, kAvx2) X(avx512, kAvx512) X(wide, kWide)
#elif defined(BIONER_X86_LEVELS)
#define BIONER_LEVELS(X) X(avx2, kAvx2) X(avx512, kAvx512)
#elif defined(BIONER_ARM_LEVELS)
#define BIONER_LEVELS(X) X(neon, kNeon)
#else
#define BIONER_LEVELS(X)
#endif

namespace bioner::simd {

// The table of element type T.
template <typename T, typename Table32, typename Table64>
constexpr const auto* of_type(const Table32& f32, const Table64& f64) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return static_cast<void>(f64), &f32;
  } else {
    return static_cast<void>(f32), &f64;
  }
}

}  // namespace bioner::simd

// What a level's file exports.
#define BIONER_DECLARE_LEVEL(level, enumerator) \
  namespace level {                             \
  extern const Kernels kernels;                 \
  }
#define BIONER_DECLARE_TYPED_LEVEL(level, enumerator) \
  namespace level {                                   \
  extern const Kernels<float> f32;                    \
  extern const Kernels<double> f64;                   \
  }

// The case of a level in a switch.
#define BIONER_LEVEL_CASE(level, enumerator) \
  case ::bioner::simd::Level::enumerator:    \
    return level::kernels;
#define BIONER_TYPED_LEVEL_CASE(level, enumerator) \
  case ::bioner::simd::Level::enumerator:          \
    return ::bioner::simd::of_type<T>(level::f32, level::f64);

// In a kernel's header: what its levels export, and the dispatcher.
#define BIONER_DECLARE_KERNELS        \
  BIONER_DECLARE_LEVEL(scalar, -)     \
  BIONER_LEVELS(BIONER_DECLARE_LEVEL) \
  const Kernels& kernels_for(simd::Level level);

// In cpu.cpp: the table of a level.
#define BIONER_DEFINE_KERNELS_FOR                 \
  const Kernels& kernels_for(simd::Level level) { \
    switch (level) {                              \
      BIONER_LEVELS(BIONER_LEVEL_CASE)            \
      default:                                    \
        return scalar::kernels;                   \
    }                                             \
  }
