// What each file compiled for an instruction set provides; cpu.cpp chooses one and splits the work.
#pragma once

#include "training/dense/dense.h"

namespace bioner::dense {

struct Kernels {
  // Blocks [begin, end) of the outputs.
  void (*forward)(const Forward& op, std::int64_t begin, std::int64_t end);
  // Blocks of the inputs.
  void (*backward)(const Backward& op, std::int64_t begin, std::int64_t end);
  // Depths of the rows.
  void (*operand)(const Operand& op, std::int64_t begin, std::int64_t end);
  // Blocks of the outputs.
  void (*step)(const Step& op, std::int64_t begin, std::int64_t end);
};

namespace amx {
extern const Kernels kernels;
}
namespace bf16 {
extern const Kernels kernels;
}

}  // namespace bioner::dense
