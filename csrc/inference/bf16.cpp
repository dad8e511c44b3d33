// Inference kernels: AVX-512 with VNNI and BF16.
#include <immintrin.h>

#define BIONER_ISA bf16
#include "inference/isa-inl.h"
