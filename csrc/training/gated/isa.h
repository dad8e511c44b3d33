// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "base/runtime/levels.h"
#include "training/gated/gated.h"

namespace bioner::gated {

struct Kernels {
  // Tokens [begin, end).
  void (*taps_forward)(const Taps& op, std::int64_t begin, std::int64_t end);
  void (*taps_backward)(const Taps& op, std::int64_t begin, std::int64_t end);
  void (*gate_forward)(const Gate& op, std::int64_t begin, std::int64_t end);
  // Blocks [begin, end): sums over their tokens go into the workspace.
  void (*gate_backward)(const Gate& op, std::int64_t begin, std::int64_t end);
};

BIONER_DECLARE_KERNELS

}  // namespace bioner::gated
