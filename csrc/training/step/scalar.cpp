// Training step: portable C++.
#define BIONER_LEVEL scalar
#include "training/step/isa-inl.h"
