// Sparse products: AVX-512 with BF16.
#define BIONER_LEVEL bf16
#include "training/sparse/isa-inl.h"
