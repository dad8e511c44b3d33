// Gated block: NEON.
#define BIONER_LEVEL neon
#include "training/gated/isa-inl.h"
