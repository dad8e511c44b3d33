#include <arm_neon.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define BIONER_ISA neon
#define BIONER_ISA_NEON
#include "ops/crf/isa-inl.h"
