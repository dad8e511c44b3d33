// The column reader's hot loops: AVX-512 BW, BMI.
#define BIONER_LEVEL avx512
#include "text/plain_lines-inl.h"
