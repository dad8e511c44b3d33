// Bindings of the training-step kernels: checks, then the kernel without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <numeric>
#include <string>
#include <vector>

#include "base/bindings/product.h"
#include "training/step/step.h"

namespace bioner::bindings {
namespace {

void* data_of(const Tensor& tensor) { return tensor.present() ? tensor.data : nullptr; }

// The row [N] where each token's window begins, ascending.
void require_starts(const Tensor& starts, std::int64_t tokens, std::int64_t last) {
  require_like(starts, DType::kInt64, {tokens}, "[N]");
  const auto* const values = starts.as<const std::int64_t>();
  for (std::int64_t n = 0; n < tokens; ++n) {
    if (values[n] < (n > 0 ? values[n - 1] : 0) || values[n] > last) {
      throw py::value_error("`starts` must ascend within [0, " + std::to_string(last) + "], got " +
                            std::to_string(values[n]) + " at position " + std::to_string(n));
    }
  }
}

// values [R, F], features [N, stride], bias or its gradient [F].
step::Positions checked_positions(const Tensor& values, const Tensor& features, const Tensor& starts,
                                  const Tensor& bias, std::int64_t slots, std::int64_t column) {
  step::Positions op{};
  op.scalar = full_scalar(bias);
  op.product = product_scalar(values, op.scalar);
  values.require_rank(2);
  features.require_rank(2);
  require_cpu(features);
  features.require_dtype({values.dtype});
  op.rows = values.shape[0];
  op.filters = values.shape[1];
  op.tokens = features.shape[0];
  op.stride = features.shape[1];
  bias.require_shape({op.filters}, "[F]");
  if (slots < 1 || slots > op.rows) throw py::value_error("`slots` must lie in [1, R]");
  if (column < 0 || column > op.stride || slots * op.filters > op.stride - column) {
    throw py::value_error("`column` and `slots` must lie within the columns of `" + features.name + "`");
  }
  op.slots = slots;
  op.column = column;
  require_starts(starts, op.tokens, op.rows - slots);
  op.starts = starts.as<const std::int64_t>();
  op.values = values.data;
  op.features = features.data;
  return op;
}

void step_positions(const py::object& values_object, const py::object& bias_object,
                    const py::object& starts_object, std::int64_t slots, const py::object& features_object,
                    std::int64_t column, int threads, std::uintptr_t /*stream*/) {
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor starts = Tensor::from(starts_object, "starts");
  const Tensor features = Tensor::from(features_object, "features");
  step::Positions op = checked_positions(values, features, starts, bias, slots, column);
  op.bias = bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::positions_forward(op, level, threads);
}

// The stride of a matrix that has room for [rows, columns].
std::int64_t require_room(const Tensor& tensor, DType dtype, std::int64_t rows, std::int64_t columns) {
  if (!tensor.present()) return 0;
  require_cpu(tensor);
  tensor.require_dtype({dtype}).require_rank(2);
  if (tensor.shape[0] < rows || tensor.shape[1] < columns) {
    throw py::value_error("`" + tensor.name + "` must have at least shape [" + std::to_string(rows) + ", " +
                          std::to_string(columns) + "], got " + tensor.describe_shape());
  }
  return tensor.shape[1];
}

void step_positions_grad(const py::object& grad_object, const py::object& values_object,
                         const py::object& starts_object, std::int64_t slots, std::int64_t column,
                         const py::object& rows_object, const py::object& columns_object,
                         const py::object& bias_object, int threads, std::uintptr_t /*stream*/) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor starts = Tensor::from(starts_object, "starts");
  const Tensor rows = Tensor::optional(rows_object, "grad_rows");
  const Tensor columns = Tensor::optional(columns_object, "grad_columns");
  const Tensor bias = Tensor::from(bias_object, "grad_bias");
  step::Positions op = checked_positions(values, grad, starts, bias, slots, column);
  op.row_stride = require_room(rows, values.dtype, op.rows, op.filters);
  op.column_stride = require_room(columns, values.dtype, op.filters, op.rows);
  op.grad_rows = data_of(rows);
  op.grad_columns = data_of(columns);
  op.grad_bias = bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::positions_backward(op, level, threads);
}

// out (and its gradient) [N, H] of the values' or the product's type, bias or its gradient [H].
step::Units checked_units(const Tensor& out, const Tensor& bias, std::uint64_t seed, double share) {
  step::Units op{};
  op.scalar = full_scalar(bias);
  op.output = product_scalar(out, op.scalar);
  out.require_rank(2);
  op.tokens = out.shape[0];
  op.width = out.shape[1];
  bias.require_shape({op.width}, "[H]");
  op.drop = drop_of(seed, share);
  op.out = out.data;
  return op;
}

void step_units(const py::object& sums_object, const py::object& bias_object, std::uint64_t seed,
                double share, const py::object& out_object, int threads, std::uintptr_t /*stream*/) {
  const Tensor sums = Tensor::from(sums_object, "sums");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor out = Tensor::from(out_object, "out");
  step::Units op = checked_units(out, bias, seed, share);
  op.product = product_scalar(sums, op.scalar);
  if (op.output == Scalar::kBFloat16 && op.product != op.output) {
    throw py::type_error("`out` must have the dtype of `bias` or of `sums`");
  }
  sums.require_shape({op.tokens, op.width}, "[N, H]");
  op.sums = sums.data;
  op.bias = bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::units_forward(op, level, threads);
}

void step_units_grad(const py::object& grad_object, const py::object& out_object, double share,
                     const py::object& rows_object, const py::object& columns_object,
                     const py::object& bias_object, int threads, std::uintptr_t /*stream*/) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor out = Tensor::from(out_object, "out");
  const Tensor rows = Tensor::optional(rows_object, "grad_rows");
  const Tensor columns = Tensor::optional(columns_object, "grad_columns");
  const Tensor bias = Tensor::from(bias_object, "grad_bias");
  if (!rows.present() && !columns.present())
    throw py::value_error("`grad_rows` or `grad_columns` must be given");
  step::Units op = checked_units(out, bias, 0, share);
  require_like(grad, out.dtype, {op.tokens, op.width}, "[N, H]");
  const DType product = rows.present() ? rows.dtype : columns.dtype;
  op.product = product_scalar(rows.present() ? rows : columns, op.scalar);
  if (op.output == Scalar::kBFloat16 && op.product != op.output) {
    throw py::type_error("`out` must have the dtype of `grad_bias` or of `grad_rows`");
  }
  op.column_stride = require_room(columns, product, op.width, op.tokens);
  op.row_stride = require_room(rows, product, op.tokens, op.width);
  op.grad = grad.data;
  op.grad_rows = data_of(rows);
  op.grad_columns = data_of(columns);
  op.grad_bias = bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::units_backward(op, level, threads);
}

// Numbers [M] of rows of a table.
void check_numbers(const Tensor& ids, std::int64_t count, const Tensor& table) {
  require_cpu(table);
  table.require_rank(2);
  require_like(ids, DType::kInt64, {count}, "[M]");
  check_ids(ids, table.shape[0]);
}

void step_rows(const py::object& table_object, const py::object& ids_object, const py::object& also_object,
               const py::object& also_ids_object, const py::object& rows_object, int threads,
               std::uintptr_t /*stream*/) {
  const Tensor table = Tensor::from(table_object, "table");
  const Tensor ids = Tensor::from(ids_object, "ids");
  const Tensor also = Tensor::optional(also_object, "caps");
  const Tensor also_ids = Tensor::optional(also_ids_object, "cap_ids");
  const Tensor rows = Tensor::from(rows_object, "rows");
  step::Rows op{};
  op.scalar = full_scalar(table);
  rows.require_rank(2);
  op.count = rows.shape[0];
  check_numbers(ids, op.count, table);
  op.width = table.shape[1];
  if (also.present()) {
    also.require_dtype({table.dtype});
    check_numbers(also_ids, op.count, also);
    op.also = also.shape[1];
    op.also_ids = also_ids.as<const std::int64_t>();
    op.also_table = also.data;
  }
  require_like(rows, table.dtype, {op.count, op.width + op.also}, "[M, D + E]");
  op.ids = ids.as<const std::int64_t>();
  op.table = table.data;
  op.rows = rows.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::rows_forward(op, level, threads);
}

// A gradient [M, at least the table's width].
step::Rows checked_row_gradients(const Tensor& grad, const Tensor& table, const Tensor& ids) {
  step::Rows op{};
  op.scalar = full_scalar(table);
  grad.require_dtype({table.dtype}).require_rank(2);
  require_cpu(grad);
  op.count = grad.shape[0];
  check_numbers(ids, op.count, table);
  if (grad.shape[1] < table.shape[1]) {
    throw py::value_error("`grad` must have at least the columns of `" + table.name + "`, got " +
                          grad.describe_shape());
  }
  op.rows = grad.data;
  return op;
}

void step_rows_sgd(const py::object& table_object, const py::object& ids_object,
                   const py::object& grad_object, double rate, int threads, std::uintptr_t /*stream*/) {
  const Tensor table = Tensor::from(table_object, "table");
  const Tensor ids = Tensor::from(ids_object, "ids");
  const Tensor grad = Tensor::from(grad_object, "grad");
  step::Rows op = checked_row_gradients(grad, table, ids);
  op.width = table.shape[1];
  op.also = grad.shape[1] - op.width;
  op.ids = ids.as<const std::int64_t>();
  op.table = table.data;
  op.rate = rate;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::rows_sgd(op, level, threads);
}

void step_rows_caps(const py::object& grad_object, const py::object& cap_ids_object,
                    const py::object& grad_caps_object, int /*threads*/, std::uintptr_t /*stream*/) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor ids = Tensor::from(cap_ids_object, "cap_ids");
  const Tensor grad_caps = Tensor::from(grad_caps_object, "grad_caps");
  step::Rows op = checked_row_gradients(grad, grad_caps, ids);
  op.also = grad_caps.shape[1];
  op.width = grad.shape[1] - op.also;
  op.also_ids = ids.as<const std::int64_t>();
  op.grad_also = grad_caps.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::rows_also_backward(op, level);
}

void step_fold(const py::object& windows_object, const py::object& starts_object,
               const py::object& out_object, int threads, std::uintptr_t /*stream*/) {
  const Tensor windows = Tensor::from(windows_object, "windows");
  const Tensor starts = Tensor::from(starts_object, "starts");
  const Tensor out = Tensor::from(out_object, "out");
  step::Fold op{};
  op.scalar = full_scalar(windows);
  windows.require_rank(3);
  op.tokens = windows.shape[0];
  op.window = windows.shape[1];
  op.width = windows.shape[2];
  require_like(out, windows.dtype, {-1, op.width}, "[R, D]");
  op.rows = out.shape[0];
  require_starts(starts, op.tokens, op.rows - op.window);
  op.starts = starts.as<const std::int64_t>();
  op.windows = windows.data;
  op.out = out.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::fold(op, level, threads);
}

double step_head(const py::object& hidden_object, const py::object& weights_object,
                 const py::object& bias_object, const py::object& gold_object, double factor, double least,
                 double most, const py::object& logits_object, const py::object& grad_hidden_object,
                 const py::object& grad_weights_object, const py::object& grad_bias_object, int threads,
                 std::uintptr_t /*stream*/) {
  const Tensor hidden = Tensor::from(hidden_object, "hidden");
  const Tensor weights = Tensor::from(weights_object, "weights");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor gold = Tensor::from(gold_object, "gold");
  const Tensor logits = Tensor::from(logits_object, "grad_logits");
  const Tensor grad_hidden = Tensor::from(grad_hidden_object, "grad_hidden");
  const Tensor grad_weights = Tensor::from(grad_weights_object, "grad_weights");
  const Tensor grad_bias = Tensor::from(grad_bias_object, "grad_bias");
  step::Head op{};
  op.scalar = full_scalar(hidden);
  hidden.require_rank(2);
  op.rows = hidden.shape[0];
  op.width = hidden.shape[1];
  weights.require_rank(2);
  op.tags = weights.shape[0];
  if (op.tags < 1) throw py::value_error("`weights` must have a row for each tag, got none");
  require_like(weights, hidden.dtype, {op.tags, op.width}, "[K, H]");
  require_like(bias, hidden.dtype, {op.tags}, "[K]");
  require_like(gold, DType::kInt64, {op.rows}, "[N]");
  check_ids(gold, op.tags);
  require_like(logits, hidden.dtype, {op.rows, op.tags}, "[N, K]");
  require_like(grad_hidden, hidden.dtype, {op.rows, op.width}, "[N, H]");
  require_like(grad_weights, hidden.dtype, {op.tags, op.width}, "[K, H]");
  require_like(grad_bias, hidden.dtype, {op.tags}, "[K]");
  op.factor = factor;
  op.least = least;
  op.most = most;
  op.hidden = hidden.data;
  op.weights = weights.data;
  op.bias = bias.data;
  op.gold = gold.as<const std::int64_t>();
  std::vector<double> losses(static_cast<std::size_t>(op.rows));
  op.losses = losses.data();
  op.grad_logits = logits.data;
  op.grad_hidden = grad_hidden.data;
  op.grad_weights = grad_weights.data;
  op.grad_bias = grad_bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::head(op, level, threads);
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

void require_as_many(const Tensor& tensor, const Tensor& values) {
  if (!tensor.present()) return;
  require_cpu(tensor);
  if (tensor.numel() != values.numel()) {
    throw py::value_error("`" + tensor.name + "` must have as many elements as `values`, " +
                          std::to_string(values.numel()) + ", got " + std::to_string(tensor.numel()));
  }
}

void step_adam(const py::object& values_object, const py::object& grad_object, const py::object& first_object,
               const py::object& second_object, const py::object& low_object, double beta1, double beta2,
               double size, double epsilon, double decay, int threads, std::uintptr_t /*stream*/) {
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor first = Tensor::from(first_object, "first");
  const Tensor second = Tensor::from(second_object, "second");
  const Tensor low = Tensor::optional(low_object, "low");
  step::Adam op{};
  op.scalar = full_scalar(values);
  op.gradient = product_scalar(grad, op.scalar);
  op.count = values.numel();
  for (const Tensor* other : {&grad, &first, &second, &low}) require_as_many(*other, values);
  first.require_dtype({values.dtype});
  second.require_dtype({values.dtype});
  if (low.present()) low.require_dtype({grad.dtype});
  op.grad = grad.data;
  op.values = values.data;
  op.first = first.data;
  op.second = second.data;
  op.low = data_of(low);
  op.beta1 = beta1;
  op.beta2 = beta2;
  op.size = size;
  op.epsilon = epsilon;
  op.decay = decay;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::adam(op, level, threads);
}

void step_sgd(const py::object& values_object, const py::object& grad_object, const py::object& low_object,
              double rate, int threads, std::uintptr_t /*stream*/) {
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor low = Tensor::optional(low_object, "low");
  step::Sgd op{};
  op.scalar = full_scalar(values);
  op.gradient = product_scalar(grad, op.scalar);
  op.count = values.numel();
  for (const Tensor* other : {&grad, &low}) require_as_many(*other, values);
  if (low.present()) low.require_dtype({grad.dtype});
  op.rate = rate;
  op.grad = grad.data;
  op.values = values.data;
  op.low = data_of(low);
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::sgd(op, level, threads);
}

}  // namespace

void register_step(py::module_& module) {
  using py::arg;
  module.def("step_positions", &step_positions, arg("values"), arg("bias"), arg("starts"), arg("slots"),
             arg("features"), arg("column"), arg("threads"), arg("stream"));
  module.def("step_positions_grad", &step_positions_grad, arg("grad"), arg("values"), arg("starts"),
             arg("slots"), arg("column"), arg("grad_rows").none(true), arg("grad_columns").none(true),
             arg("grad_bias"), arg("threads"), arg("stream"));
  module.def("step_units", &step_units, arg("sums"), arg("bias"), arg("seed"), arg("share"), arg("out"),
             arg("threads"), arg("stream"));
  module.def("step_units_grad", &step_units_grad, arg("grad"), arg("out"), arg("share"),
             arg("grad_rows").none(true), arg("grad_columns").none(true), arg("grad_bias"), arg("threads"),
             arg("stream"));
  module.def("step_rows", &step_rows, arg("table"), arg("ids"), arg("caps").none(true),
             arg("cap_ids").none(true), arg("rows"), arg("threads"), arg("stream"));
  module.def("step_rows_sgd", &step_rows_sgd, arg("table"), arg("ids"), arg("grad"), arg("rate"),
             arg("threads"), arg("stream"));
  module.def("step_rows_caps", &step_rows_caps, arg("grad"), arg("cap_ids"), arg("grad_caps"), arg("threads"),
             arg("stream"));
  module.def("step_fold", &step_fold, arg("windows"), arg("starts"), arg("out"), arg("threads"),
             arg("stream"));
  module.def("step_head", &step_head, arg("hidden"), arg("weights"), arg("bias"), arg("gold"), arg("factor"),
             arg("least"), arg("most"), arg("grad_logits"), arg("grad_hidden"), arg("grad_weights"),
             arg("grad_bias"), arg("threads"), arg("stream"));
  module.def("step_adam", &step_adam, arg("values"), arg("grad"), arg("first"), arg("second"),
             arg("low").none(true), arg("beta1"), arg("beta2"), arg("size"), arg("epsilon"), arg("decay"),
             arg("threads"), arg("stream"));
  module.def("step_sgd", &step_sgd, arg("values"), arg("grad"), arg("low").none(true), arg("rate"),
             arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
