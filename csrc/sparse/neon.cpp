// Sparse products: NEON.
#define BIONER_LEVEL neon
#include "sparse/isa-inl.h"
