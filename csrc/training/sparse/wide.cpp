// Sparse products: as for AVX2; other kernels have code for 512 bits in AVX2 registers at this level.
#define BIONER_LEVEL wide
#include "training/sparse/isa-inl.h"
