// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "inference/infer.h"

namespace bioner::infer {

struct Kernels {
  // Rows [begin, end), at most kBlock, into scratch [kBlock, columns].
  void (*linear)(const Linear& op, std::int64_t begin, std::int64_t end, float* scratch);
  void (*table_sum)(const TableSum& op, std::int64_t begin, std::int64_t end, float* scratch);
  // Rows of scratch, which it overwrites.
  void (*finish)(const Epilogue& epilogue, std::int64_t begin, std::int64_t end, float* scratch,
                 std::int64_t columns);
  void (*characters)(const Characters& op, std::int64_t begin, std::int64_t end);
};

// Rows that are worked on together: weights that leave the nearest caches serve many rows, and the scratch
// stays in the second-level cache.
constexpr std::int64_t kBlock = 96;
// Rows of a register tile.
constexpr int kTile = 6;

namespace scalar {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx2_vnni {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace vnni {
extern const Kernels kernels;
}
namespace bf16 {
extern const Kernels kernels;
}
namespace amx {
extern const Kernels kernels;
}
namespace neon {
extern const Kernels kernels;
}

}  // namespace bioner::infer
