// Dense layers: AVX-512 with BF16, and AMX tiles for the products.
#define BIONER_ISA amx
#define BIONER_AMX_TILES
#include "training/dense/isa-inl.h"
