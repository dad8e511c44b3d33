// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "runtime/levels.h"
#include "step/step.h"

namespace bioner::step {

struct Kernels {
  void (*activate)(const Positions& op, std::int64_t begin, std::int64_t end);        // rows
  void (*place)(const Positions& op, std::int64_t begin, std::int64_t end);           // tokens
  void (*positions_grad)(const Positions& op, std::int64_t begin, std::int64_t end);  // columns of filters
  void (*units)(const Units& op, std::int64_t begin, std::int64_t end);               // tokens
  void (*units_grad)(const Units& op, std::int64_t begin, std::int64_t end);          // columns
  void (*adam)(const Adam& op, std::int64_t begin, std::int64_t end);                 // values
  void (*sgd)(const Sgd& op, std::int64_t begin, std::int64_t end);
};

BIONER_DECLARE_KERNELS

}  // namespace bioner::step
