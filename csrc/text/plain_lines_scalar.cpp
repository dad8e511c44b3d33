// The column reader's hot loops: what every processor of the platform has.
#define BIONER_LEVEL scalar
#include "text/plain_lines-inl.h"
