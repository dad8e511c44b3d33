// Calls of the kernels, and the memory between them.
#include <algorithm>
#include <numeric>
#include <vector>

#include "training/dense/dense.h"
#include "training/mlp/mlp.h"
#include "training/step/step.h"

namespace bioner::mlp {
namespace {

constexpr std::size_t kLine = 64;

// Parts of memory that stays with its thread, each on cache lines of its own. Asked for twice: the first time
// without memory, to count.
class Memory {
 public:
  explicit Memory(char* memory) : begin_(memory) {}

  template <typename T>
  T* take(std::int64_t count) {
    char* const part = begin_ == nullptr ? nullptr : begin_ + used_;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
    return reinterpret_cast<T*>(part);
  }

  std::size_t used() const { return used_; }

 private:
  char* begin_;
  std::size_t used_ = 0;
};

char* memory_of_thread(std::size_t bytes) {
  thread_local std::vector<char> memory;
  if (memory.size() < bytes + kLine) memory.resize(bytes + kLine);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  return reinterpret_cast<char*>((address + kLine - 1) / kLine * kLine);
}

struct Parts {
  Parts(const Step& op, Memory& memory) {
    const std::int64_t width = op.words + op.caps;
    const std::int64_t inputs = op.window * width;
    const std::int64_t deep_tokens = dense::depths(op.tokens) * dense::kDepth;
    const std::int64_t deep_hidden = dense::depths(op.hidden) * dense::kDepth;
    rows = memory.take<float>(op.rows * width);
    over_columns = memory.take<BFloat16>(dense::panel_values(inputs, op.tokens));
    over_rows = memory.take<BFloat16>(dense::panel_values(op.tokens, inputs));
    sums = memory.take<float>(op.tokens * op.hidden);
    units = memory.take<float>(op.tokens * op.hidden);
    losses = memory.take<double>(op.tokens);
    grad_logits = memory.take<float>(op.tokens * op.tags);
    grad_units = memory.take<float>(op.tokens * op.hidden);
    grad_head = memory.take<float>(op.tags * op.hidden);
    grad_head_bias = memory.take<float>(op.tags);
    grad_bias = memory.take<float>(op.hidden);
    grad_sums = memory.take<BFloat16>(deep_tokens * deep_hidden);
    grad_columns = memory.take<BFloat16>(deep_hidden * deep_tokens);
    grad_windows = memory.take<float>(op.tokens * inputs);
    grad_rows = memory.take<float>(op.rows * width);
    grad_caps = memory.take<float>(op.cap_classes * op.caps);
  }

  float *rows, *sums, *units, *grad_logits, *grad_units, *grad_head, *grad_head_bias, *grad_bias,
      *grad_windows, *grad_rows, *grad_caps;
  double* losses;
  BFloat16 *over_columns, *over_rows, *grad_sums, *grad_columns;
};

Parts parts_of(const Step& op) {
  Memory counted(nullptr);
  Parts(op, counted);
  Memory memory(memory_of_thread(counted.used()));
  return Parts(op, memory);
}

void sgd(float* values, const float* grad, std::int64_t count, double rate, simd::Level level) {
  const step::Sgd op{count, Scalar::kFloat32, Scalar::kFloat32, rate, grad, values, nullptr};
  step::sgd(op, level, 1);
}

}  // namespace

Places places(const std::int64_t* starts, std::int64_t tokens, std::int64_t window) {
  Places made;
  made.starts.reserve(static_cast<std::size_t>(tokens));
  made.places.reserve(static_cast<std::size_t>(tokens + window));
  std::int64_t rows = 0;
  for (std::int64_t n = 0; n < tokens; ++n) {
    const std::int64_t gap = n == 0 ? window : starts[n] - starts[n - 1];
    const std::int64_t added = gap >= 1 && gap < window ? gap : window;
    for (std::int64_t i = window - added; i < window; ++i) made.places.push_back(starts[n] + i);
    rows += added;
    made.starts.push_back(rows - window);
  }
  return made;
}

double step(const Step& op, simd::Level level, int threads) {
  const Parts parts = parts_of(op);
  const std::int64_t width = op.words + op.caps;
  const std::int64_t inputs = op.window * width;
  constexpr Scalar kFloat = Scalar::kFloat32;

  step::Rows rows{op.rows,       op.words,     op.caps,    kFloat,          op.word_ids, op.cap_ids,
                  op.word_table, op.cap_table, parts.rows, parts.grad_caps, op.word_rate};
  step::rows_forward(rows, level, threads);
  dense::operand(
      {op.tokens, inputs, width, op.starts, kFloat, parts.rows, parts.over_columns, parts.over_rows},
      threads);
  dense::forward({op.tokens, inputs, op.hidden, parts.over_columns, op.low, kFloat, parts.sums}, threads);
  step::Units units{};
  units.tokens = op.tokens;
  units.width = op.hidden;
  units.scalar = units.product = units.output = kFloat;
  units.drop = op.drop;
  units.sums = parts.sums;
  units.bias = op.bias;
  units.out = parts.units;
  step::units_forward(units, level, threads);
  step::head({op.tokens, op.hidden, op.tags, kFloat, op.factor, op.least, op.most, parts.units,
              op.head_weights, op.head_bias, op.gold, parts.losses, parts.grad_logits, parts.grad_units,
              parts.grad_head, parts.grad_head_bias},
             level, threads);
  units.product = Scalar::kBFloat16;
  units.grad = parts.grad_units;
  units.row_stride = dense::depths(op.hidden) * dense::kDepth;
  units.column_stride = dense::depths(op.tokens) * dense::kDepth;
  units.grad_rows = parts.grad_sums;
  units.grad_columns = parts.grad_columns;
  units.grad_bias = parts.grad_bias;
  step::units_backward(units, level, threads);
  dense::backward(
      {op.tokens, inputs, op.hidden, units.row_stride, parts.grad_sums, op.low, kFloat, parts.grad_windows},
      threads);
  const bool apart = op.rows == op.tokens * op.window;  // no windows overlap
  if (!apart) {
    step::fold({op.tokens, op.rows, op.window, width, kFloat, op.starts, parts.grad_windows, parts.grad_rows},
               level, threads);
  }

  // All gradients are there: now the weights may change.
  dense::Step hidden{};
  hidden.rows = op.tokens;
  hidden.inputs = inputs;
  hidden.outputs = op.hidden;
  hidden.grad_stride = units.column_stride;
  hidden.grad = parts.grad_columns;
  hidden.x = parts.over_rows;
  hidden.weights = op.weights;
  hidden.low = op.low;
  hidden.size = static_cast<float>(op.rate);
  dense::step(hidden, threads);
  rows.rows = apart ? parts.grad_windows : parts.grad_rows;
  step::rows_sgd(rows, level, threads);
  if (op.caps > 0) {
    std::fill_n(parts.grad_caps, op.cap_classes * op.caps, 0.0F);
    step::rows_also_backward(rows, level);
    sgd(op.cap_table, parts.grad_caps, op.cap_classes * op.caps, op.rate, level);
  }
  sgd(op.bias, parts.grad_bias, op.hidden, op.rate, level);
  sgd(op.head_weights, parts.grad_head, op.tags * op.hidden, op.rate, level);
  sgd(op.head_bias, parts.grad_head_bias, op.tags, op.rate, level);
  return std::accumulate(parts.losses, parts.losses + op.tokens, 0.0);
}

}  // namespace bioner::mlp
