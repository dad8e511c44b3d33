// The functions that each SIMD level provides; cpu.cpp chooses a table once per call.
#pragma once

#include "base/runtime/levels.h"
#include "training/step/step.h"

namespace bioner::step {

struct Kernels {
  void (*activate)(const Positions& op, std::int64_t begin, std::int64_t end);        // rows
  void (*place)(const Positions& op, std::int64_t begin, std::int64_t end);           // tokens
  void (*positions_grad)(const Positions& op, std::int64_t begin, std::int64_t end);  // columns of filters
  void (*units)(const Units& op, std::int64_t begin, std::int64_t end);               // tokens
  void (*units_grad)(const Units& op, std::int64_t begin, std::int64_t end);          // columns
  void (*adam)(const Adam& op, std::int64_t begin, std::int64_t end);                 // values
  void (*sgd)(const Sgd& op, std::int64_t begin, std::int64_t end);
  void (*rows)(const Rows& op, std::int64_t begin, std::int64_t end);      // rows
  void (*rows_sgd)(const Rows& op, std::int64_t begin, std::int64_t end);  // owners of rows
  void (*rows_also)(const Rows& op);
  void (*fold)(const Fold& op, std::int64_t begin, std::int64_t end);          // rows
  void (*head_rows)(const Head& op, std::int64_t begin, std::int64_t end);     // rows
  void (*head_columns)(const Head& op, std::int64_t begin, std::int64_t end);  // columns of hidden values
};

// Columns come in whole blocks, but for the last.
constexpr std::int64_t kColumns = 32;
// Rows of the table are owned by their number: one thread adds what belongs to a row, in order.
constexpr std::int64_t kRowOwners = 16;

BIONER_DECLARE_KERNELS

}  // namespace bioner::step
