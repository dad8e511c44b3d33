// Sparse products: AVX-512 F, BW, DQ, VL.
#define BIONER_LEVEL avx512
#include "training/sparse/isa-inl.h"
