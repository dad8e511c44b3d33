// Window kernels: AVX2.
#define BIONER_LEVEL avx2
#define BIONER_LEVEL_BYTES 32
#include "ops/window/isa-inl.h"
