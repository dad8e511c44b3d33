// Gated block: portable C++.
#define BIONER_LEVEL scalar
#include "training/gated/isa-inl.h"
