#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define BIONER_ISA wide
#define BIONER_ISA_WIDE
#include "ops/viterbi/isa-inl.h"
