// From a level to the entry points that its file exports: every kernel folder declares `ISA::f32` and
// `ISA::f64` for the levels of its build.
#pragma once

#include "base/runtime/simd.h"

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

// The cases of a switch over a level, but for the scalar one, which is the default.
#if defined(BIONER_X86_LEVELS) && defined(BIONER_TEST_LEVELS)
#define BIONER_LEVEL_CASES(T)                                    \
  case ::bioner::simd::Level::kAvx2:                             \
    return ::bioner::simd::of_type<T>(avx2::f32, avx2::f64);     \
  case ::bioner::simd::Level::kAvx512:                           \
    return ::bioner::simd::of_type<T>(avx512::f32, avx512::f64); \
  case ::bioner::simd::Level::kWide:                             \
    return ::bioner::simd::of_type<T>(wide::f32, wide::f64);
#elif defined(BIONER_X86_LEVELS)
#define BIONER_LEVEL_CASES(T)                                \
  case ::bioner::simd::Level::kAvx2:                         \
    return ::bioner::simd::of_type<T>(avx2::f32, avx2::f64); \
  case ::bioner::simd::Level::kAvx512:                       \
    return ::bioner::simd::of_type<T>(avx512::f32, avx512::f64);
#elif defined(BIONER_ARM_LEVELS)
#define BIONER_LEVEL_CASES(T)        \
  case ::bioner::simd::Level::kNeon: \
    return ::bioner::simd::of_type<T>(neon::f32, neon::f64);
#else
#define BIONER_LEVEL_CASES(T)
#endif

// Kernel folders whose table does not depend on the element type: `ISA::kernels` of a type `Kernels`, for the
// levels of the build.
#define BIONER_DECLARE_KERNELS  \
  namespace scalar {            \
  extern const Kernels kernels; \
  }                             \
  namespace avx2 {              \
  extern const Kernels kernels; \
  }                             \
  namespace avx512 {            \
  extern const Kernels kernels; \
  }                             \
  namespace wide {              \
  extern const Kernels kernels; \
  }                             \
  namespace neon {              \
  extern const Kernels kernels; \
  }                             \
  const Kernels& kernels_for(simd::Level level);

#if defined(BIONER_X86_LEVELS) && defined(BIONER_TEST_LEVELS)
#define BIONER_KERNEL_CASES            \
  case ::bioner::simd::Level::kAvx2:   \
    return avx2::kernels;              \
  case ::bioner::simd::Level::kAvx512: \
    return avx512::kernels;            \
  case ::bioner::simd::Level::kWide:   \
    return wide::kernels;
#elif defined(BIONER_X86_LEVELS)
#define BIONER_KERNEL_CASES            \
  case ::bioner::simd::Level::kAvx2:   \
    return avx2::kernels;              \
  case ::bioner::simd::Level::kAvx512: \
    return avx512::kernels;
#elif defined(BIONER_ARM_LEVELS)
#define BIONER_KERNEL_CASES          \
  case ::bioner::simd::Level::kNeon: \
    return neon::kernels;
#else
#define BIONER_KERNEL_CASES
#endif

// In cpu.cpp: the table of a level.
#define BIONER_DEFINE_KERNELS_FOR                 \
  const Kernels& kernels_for(simd::Level level) { \
    switch (level) {                              \
      BIONER_KERNEL_CASES                         \
      default:                                    \
        return scalar::kernels;                   \
    }                                             \
  }
