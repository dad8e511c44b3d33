// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "window/window.h"

namespace bioner::window {

struct Kernels {
  // Tokens [begin, end). `stream`: write around the caches, for outputs far larger than they are.
  void (*gather)(const Gather& op, std::int64_t begin, std::int64_t end, bool stream);
  void (*grad_values)(const GradValues& op, std::int64_t begin, std::int64_t end);
  // Blocks [begin, end) into the workspace.
  void (*grad_padding)(const GradPadding& op, std::int64_t begin, std::int64_t end);
  void (*grad_weight)(const GradWeight& op, std::int64_t begin, std::int64_t end);
};

namespace scalar {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace wide {
extern const Kernels kernels;
}
namespace neon {
extern const Kernels kernels;
}

}  // namespace bioner::window
