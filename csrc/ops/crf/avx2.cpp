#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define BIONER_ISA avx2
#define BIONER_ISA_AVX2
#include "ops/crf/isa-inl.h"
