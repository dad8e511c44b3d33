// Gated block: portable C++.
#define BIONER_LEVEL scalar
#include "gated/isa-inl.h"
