// Sparse products: portable C++.
#define BIONER_LEVEL scalar
#include "training/sparse/isa-inl.h"
