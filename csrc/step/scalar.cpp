// Training step: portable C++.
#define BIONER_LEVEL scalar
#include "step/isa-inl.h"
