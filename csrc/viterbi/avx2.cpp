#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define BIONER_ISA avx2
#define BIONER_ISA_AVX2
#include "viterbi/isa-inl.h"
