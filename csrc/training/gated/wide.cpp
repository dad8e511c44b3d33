// Gated block: the code for 512 bits, compiled for AVX2 registers.
#define BIONER_LEVEL wide
#include "training/gated/isa-inl.h"
