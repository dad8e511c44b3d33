// Sixteen rows of sixteen words to columns, by compilers that know vectors.
#pragma once

#include <cstdint>

#include "base/core/macros.h"

#if defined(__GNUC__)
namespace bioner {

// In four rounds of shuffles that exchange ever smaller blocks.
using Words = std::uint32_t __attribute__((vector_size(64)));

template <int kStep>
BIONER_INLINE void exchange(Words* rows) {
  for (int i = 0; i < 16; ++i) {
    if (i & kStep) continue;
    const Words a = rows[i];
    const Words b = rows[i + kStep];
#define BIONER_LOW(l) (((l) & kStep) != 0 ? (l) - kStep + 16 : (l))
#define BIONER_HIGH(l) (((l) & kStep) != 0 ? (l) + 16 : (l) + kStep)
#define BIONER_ALL(f) \
  f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), f(15)
    rows[i] = __builtin_shufflevector(a, b, BIONER_ALL(BIONER_LOW));
    rows[i + kStep] = __builtin_shufflevector(a, b, BIONER_ALL(BIONER_HIGH));
#undef BIONER_ALL
#undef BIONER_HIGH
#undef BIONER_LOW
  }
}

BIONER_INLINE void transpose(Words* rows) {
  exchange<8>(rows);
  exchange<4>(rows);
  exchange<2>(rows);
  exchange<1>(rows);
}

}  // namespace bioner
#endif
