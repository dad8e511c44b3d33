// Bodies of the sparse products; compiled once per SIMD level, each in a namespace of its own (BIONER_LEVEL).

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#include "base/core/macros.h"
#include "training/sparse/isa.h"

namespace bioner::sparse::BIONER_LEVEL {
namespace {

// Of a vector.
#if !defined(__GNUC__)
constexpr std::int64_t kBytes = 0;
#elif defined(__AVX512F__)
constexpr std::int64_t kBytes = 64;
#elif defined(__AVX2__)
constexpr std::int64_t kBytes = 32;
#else
constexpr std::int64_t kBytes = 16;
#endif

}  // namespace
}  // namespace bioner::sparse::BIONER_LEVEL

// After what they need.
#include "training/sparse/kept-inl.h"
#include "training/sparse/product-inl.h"

namespace bioner::sparse::BIONER_LEVEL {

extern const Kernels kernels;
const Kernels kernels = {multiply, kept};

}  // namespace bioner::sparse::BIONER_LEVEL
