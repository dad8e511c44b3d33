// Window kernels: portable code, no special instructions.
#define BIONER_LEVEL scalar
#define BIONER_LEVEL_BYTES 16
#include "ops/window/isa-inl.h"
