#include <arm_neon.h>

#include <cmath>
#include <cstdint>

#define BIONER_ISA neon
#define BIONER_ISA_NEON
#include "ops/viterbi/isa-inl.h"
