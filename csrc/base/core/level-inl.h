// What the file of every SIMD level begins with. `bioner_kernel` in csrc/CMakeLists.txt writes those files:
// one per kernel and level, with BIONER_LEVEL (the level, and its namespace), BIONER_LEVEL_BYTES (of a
// vector) and one of BIONER_LEVEL_SCALAR, _AVX2, _AVX512, ... defined. No include guard: once per file.
#if defined(BIONER_LEVEL_AVX512) && defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves a register undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(BIONER_LEVEL_NEON)
#include <arm_neon.h>
#elif !defined(BIONER_LEVEL_SCALAR)
#include <immintrin.h>
#endif
