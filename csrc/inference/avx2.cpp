// Inference kernels: AVX2 and FMA.
#include <immintrin.h>

#define BIONER_ISA avx2
#include "inference/isa-inl.h"
