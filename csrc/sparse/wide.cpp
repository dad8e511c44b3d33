// Sparse products: the code for 512 bits, compiled for AVX2 registers.
#define BIONER_LEVEL wide
#include "sparse/isa-inl.h"
