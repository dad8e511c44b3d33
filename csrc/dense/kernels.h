// What the file compiled for AMX provides; cpu.cpp splits the work.
#pragma once

#include "dense/dense.h"

namespace bioner::dense::amx {

// Blocks [begin, end) of the outputs.
void forward(const Forward& op, std::int64_t begin, std::int64_t end);
// Blocks of the inputs.
void backward(const Backward& op, std::int64_t begin, std::int64_t end);
// Depths of the rows.
void operand(const Operand& op, std::int64_t begin, std::int64_t end);
// Blocks of the outputs.
void step(const Step& op, std::int64_t begin, std::int64_t end);

}  // namespace bioner::dense::amx
