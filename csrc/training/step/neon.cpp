// Training step: NEON.
#define BIONER_LEVEL neon
#include "training/step/isa-inl.h"
