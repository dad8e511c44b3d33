// Gated block: NEON.
#define BIONER_LEVEL neon
#include "gated/isa-inl.h"
