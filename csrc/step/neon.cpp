// Training step: NEON.
#define BIONER_LEVEL neon
#include "step/isa-inl.h"
