// Training step: the code for 512 bits, compiled for AVX2 registers.
#define BIONER_LEVEL wide
#include "training/step/isa-inl.h"
