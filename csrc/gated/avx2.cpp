// Gated block: AVX2.
#define BIONER_LEVEL avx2
#include "gated/isa-inl.h"
