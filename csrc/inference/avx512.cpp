// Inference kernels: AVX-512 F, BW, DQ, VL.
#include <immintrin.h>

#define BIONER_ISA avx512
#include "inference/isa-inl.h"
