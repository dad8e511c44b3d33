// Window kernels: 64-bit ARM, where NEON is always there.
#define BIONER_LEVEL neon
#define BIONER_LEVEL_BYTES 16
#include "ops/window/isa-inl.h"
