// Window kernels: the 512-bit code on AVX2 registers, for tests.
#define BIONER_LEVEL wide
#define BIONER_LEVEL_BYTES 64
#include "ops/window/isa-inl.h"
