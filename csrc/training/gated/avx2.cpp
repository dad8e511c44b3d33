// Gated block: AVX2.
#define BIONER_LEVEL avx2
#include "training/gated/isa-inl.h"
