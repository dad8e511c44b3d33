#include <immintrin.h>

#include <cmath>
#include <cstdint>

#define BIONER_ISA wide
#define BIONER_ISA_WIDE
#include "viterbi/isa-inl.h"
