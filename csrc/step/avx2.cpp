// Training step: AVX2.
#define BIONER_LEVEL avx2
#include "step/isa-inl.h"
