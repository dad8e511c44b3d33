// Gated block: AVX-512 F, BW, DQ, VL.
#define BIONER_LEVEL avx512
#include "gated/isa-inl.h"
