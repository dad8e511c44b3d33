// Inference kernels: AVX-512 with VNNI and BF16, and AMX tiles for the products.
#include <immintrin.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/core/tiles-inl.h"

#define BIONER_ISA amx
#define BIONER_AMX_TILES
#include "inference/isa-inl.h"
