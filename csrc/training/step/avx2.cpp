// Training step: AVX2.
#define BIONER_LEVEL avx2
#include "training/step/isa-inl.h"
