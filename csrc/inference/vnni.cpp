// Inference kernels: AVX-512 with VNNI.
#include <immintrin.h>

#define BIONER_ISA vnni
#include "inference/isa-inl.h"
