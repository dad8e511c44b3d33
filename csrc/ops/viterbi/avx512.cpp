#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves a register undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define BIONER_ISA avx512
#define BIONER_ISA_AVX512
#include "ops/viterbi/isa-inl.h"
