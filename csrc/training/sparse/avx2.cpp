// Sparse products: AVX2 and FMA.
#define BIONER_LEVEL avx2
#include "training/sparse/isa-inl.h"
