// Inference kernels: NEON, as the compiler splits the vectors.
#define BIONER_ISA neon
#include "inference/isa-inl.h"
