// Sparse products: AVX2 and FMA.
#define BIONER_LEVEL avx2
#include "sparse/isa-inl.h"
