// Inference kernels: AVX2 and FMA.
#include <immintrin.h>

#define BIONER_ISA avx2
#include "infer/isa-inl.h"
