#include <immintrin.h>

#include <cmath>
#include <cstdint>

#define BIONER_ISA avx2
#define BIONER_ISA_AVX2
#include "viterbi/isa-inl.h"
