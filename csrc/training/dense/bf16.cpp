// Dense layers: AVX-512 with BF16.
#define BIONER_ISA bf16
#include "training/dense/isa-inl.h"
