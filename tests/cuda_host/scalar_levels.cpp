// The scalar level of the kernels: what the CPU path runs on beside the CUDA kernels.
#define BIONER_LEVEL scalar
#define BIONER_LEVEL_SCALAR
#define BIONER_LEVEL_BYTES 16
#include "base/core/level-inl.h"
#include "ops/crf/isa-inl.h"
#include "ops/window/isa-inl.h"
