// The column reader's hot loops: AVX2, BMI.
#define BIONER_LEVEL avx2
#include "text/plain_lines-inl.h"
