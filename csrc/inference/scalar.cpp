// Inference kernels: portable code, no special instructions.
#define BIONER_ISA scalar
#define BIONER_PLAIN_LANES
#include "inference/isa-inl.h"
