// Compiler differences, in one place. Header-only; includes nothing.
#pragma once

#if defined(__CUDACC__)
#define BIONER_HD __host__ __device__
#else
#define BIONER_HD
#endif

// Functions in headers that files compiled for one SIMD level include: always inlined, so that no shared copy
// with that level's instructions is left for the linker to choose. BIONER_INLINE_LAMBDA, after the parameters
// of a lambda in them, keeps vectors in registers where it is called from several places.
#if defined(_MSC_VER) && !defined(__clang__)
#define BIONER_INLINE __forceinline
#define BIONER_INLINE_LAMBDA
#define BIONER_RESTRICT __restrict
#else
#define BIONER_INLINE inline __attribute__((always_inline))
#define BIONER_INLINE_LAMBDA __attribute__((always_inline))
#define BIONER_RESTRICT __restrict__
#endif

// Before a loop: no two of its arrays overlap, however many they are.
#if defined(__clang__)
#define BIONER_APART _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__) && !defined(__CUDACC__)
#define BIONER_APART _Pragma("GCC ivdep")
#else
#define BIONER_APART
#endif
