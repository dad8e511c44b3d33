// Window kernels: AVX-512 F, BW, DQ, VL.
#define BIONER_LEVEL avx512
#define BIONER_LEVEL_BYTES 64
#include "ops/window/isa-inl.h"
