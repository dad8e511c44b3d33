#include <cmath>
#include <cstdint>
#include <cstring>

#define BIONER_ISA scalar
#define BIONER_ISA_SCALAR
#include "ops/crf/isa-inl.h"
