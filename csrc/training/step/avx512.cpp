// Training step: AVX-512 F, BW, DQ, VL.
#define BIONER_LEVEL avx512
#include "training/step/isa-inl.h"
