#include "text/plain_lines.h"

#include "base/runtime/simd.h"

namespace bioner::conll {

const LineKernels& line_kernels() {
  switch (simd::active()) {
#if defined(BIONER_X86_LEVELS)
    // The levels say nothing of the bit instructions, which came with AVX2 but are features of their own.
    case simd::Level::kAvx512:
      if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")) return avx512::line_kernels;
      return scalar::line_kernels;
    case simd::Level::kAvx2:
    case simd::Level::kWide:
      if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")) return avx2::line_kernels;
      return scalar::line_kernels;
#endif
    default:
      return scalar::line_kernels;
  }
}

}  // namespace bioner::conll
