// Sparse products: NEON.
#define BIONER_LEVEL neon
#include "training/sparse/isa-inl.h"
