// Sparse products: portable C++.
#define BIONER_LEVEL scalar
#include "sparse/isa-inl.h"
