// Inference kernels: AVX2 and FMA with AVX-VNNI.
#include <immintrin.h>

#define BIONER_ISA avx2_vnni
#include "inference/isa-inl.h"
