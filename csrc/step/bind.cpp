// Bindings of the training-step kernels: checks, then the kernel without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <string>

#include "bindings/product.h"
#include "step/step.h"

namespace bioner::bindings {
namespace {

void* data_of(const Tensor& tensor) { return tensor.present() ? tensor.data : nullptr; }

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
  require_like(starts, DType::kInt64, {op.tokens}, "[N]");
  if (slots < 1 || slots > op.rows) throw py::value_error("`slots` must lie in [1, R]");
  if (column < 0 || column > op.stride || slots * op.filters > op.stride - column) {
    throw py::value_error("`column` and `slots` must lie within the columns of `" + features.name + "`");
  }
  op.slots = slots;
  op.column = column;
  op.starts = starts.as<const std::int64_t>();
  for (std::int64_t n = 0; n < op.tokens; ++n) {
    const std::int64_t start = op.starts[n];
    if (start < (n > 0 ? op.starts[n - 1] : 0) || start > op.rows - slots) {
      throw py::value_error("`starts` must ascend within [0, R - slots], got " + std::to_string(start) +
                            " at position " + std::to_string(n));
    }
  }
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
  if (rows.present()) require_like(rows, values.dtype, {op.rows, op.filters}, "[R, F]");
  if (columns.present()) require_like(columns, values.dtype, {op.filters, op.rows}, "[F, R]");
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
  if (columns.present()) require_like(columns, product, {op.width, op.tokens}, "[H, N]");
  if (rows.present()) require_like(rows, product, {op.tokens, op.width}, "[N, H]");
  op.grad = grad.data;
  op.grad_rows = data_of(rows);
  op.grad_columns = data_of(columns);
  op.grad_bias = bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  step::units_backward(op, level, threads);
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
  module.def("step_adam", &step_adam, arg("values"), arg("grad"), arg("first"), arg("second"),
             arg("low").none(true), arg("beta1"), arg("beta2"), arg("size"), arg("epsilon"), arg("decay"),
             arg("threads"), arg("stream"));
  module.def("step_sgd", &step_sgd, arg("values"), arg("grad"), arg("low").none(true), arg("rate"),
             arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
