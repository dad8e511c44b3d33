// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "base/runtime/levels.h"
#include "ops/window/window.h"

namespace bioner::window {

struct Kernels {
  // Tokens [begin, end). `stream`: write around the caches, for outputs far larger than they are.
  void (*gather)(const Gather& op, std::int64_t begin, std::int64_t end, bool stream);
  void (*grad_values)(const GradValues& op, std::int64_t begin, std::int64_t end);
  // Blocks [begin, end) into the workspace.
  void (*grad_padding)(const GradPadding& op, std::int64_t begin, std::int64_t end);
  // Runs [first, last): the sum of each.
  void (*sum_runs)(const GradWeight& op, const Runs& runs, std::int64_t first, std::int64_t last);
  // Runs [first, last), `count` in all: adds the later runs of each id, and padding, to the first; writes the
  // rows of `out`. `padding_row` is the row that padding adds to, or -1.
  void (*write_rows)(const GradWeight& op, const Runs& runs, std::int64_t count, std::int64_t padding_row,
                     std::int64_t first, std::int64_t last);
};

BIONER_DECLARE_KERNELS

}  // namespace bioner::window
