// Bindings of dense layers in tiles: checks, then the kernel without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <string>

#include "base/bindings/product.h"
#include "training/dense/dense.h"

namespace bioner::bindings {
namespace {

using dense::depths;
using dense::kBlock;
using dense::kDepth;

void require_tiles() {
  if (!dense::available()) throw py::value_error("dense layers need a processor with AMX or AVX512-BF16");
}

BFloat16* low_data(const Tensor& tensor) { return tensor.as<BFloat16>(); }

// Panels of `columns` columns that sum over `summed` values.
void require_panels(const Tensor& tensor, std::int64_t summed, std::int64_t columns) {
  require_like(tensor, DType::kBFloat16, {dense::panel_values(summed, columns)},
               "[tiles(columns) * depths(summed) * 512]");
}

// Weights [outputs, inputs] in blocks.
void require_blocks(const Tensor& tensor, std::int64_t outputs, std::int64_t inputs) {
  require_like(tensor, DType::kBFloat16, {dense::blocks_values(outputs, inputs)},
               "[depths(O) * depths(I) * 1024]");
}

// A padded matrix.
void require_padded(const Tensor& tensor, std::int64_t rows, std::int64_t columns) {
  require_cpu(tensor);
  tensor.require_dtype({DType::kBFloat16}).require_rank(2);
  const std::int64_t least_rows = depths(rows) * kBlock;
  const std::int64_t least_columns = depths(columns) * kDepth;
  if (tensor.shape[0] < least_rows || tensor.shape[1] < least_columns) {
    throw py::value_error("`" + tensor.name + "` must have at least shape [" + std::to_string(least_rows) +
                          ", " + std::to_string(least_columns) + "], got " + tensor.describe_shape());
  }
}

// A result [N, C] in float32 or bfloat16.
Scalar require_result(const Tensor& out) {
  require_cpu(out);
  out.require_dtype({DType::kFloat32, DType::kBFloat16}).require_rank(2);
  return out.dtype == DType::kFloat32 ? Scalar::kFloat32 : Scalar::kBFloat16;
}

void require_positive(std::int64_t value, const char* name) {
  if (value < 1) throw py::value_error("`" + std::string(name) + "` must be positive");
}

void dense_forward(const py::object& x_object, std::int64_t inputs, const py::object& weights_object,
                   const py::object& out_object, int threads, std::uintptr_t /*stream*/) {
  require_tiles();
  const Tensor x = Tensor::from(x_object, "x");
  const Tensor weights = Tensor::from(weights_object, "weights");
  const Tensor out = Tensor::from(out_object, "out");
  const Scalar type = require_result(out);
  const std::int64_t rows = out.shape[0];
  const std::int64_t outputs = out.shape[1];
  require_positive(inputs, "inputs");
  require_panels(x, inputs, rows);
  require_blocks(weights, outputs, inputs);
  const dense::Forward op{rows, inputs, outputs, low_data(x), low_data(weights), type, out.data};
  const py::gil_scoped_release release;
  dense::forward(op, threads);
}

void dense_backward(const py::object& grad_object, std::int64_t outputs, const py::object& weights_object,
                    const py::object& out_object, int threads, std::uintptr_t /*stream*/) {
  require_tiles();
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor weights = Tensor::from(weights_object, "weights");
  const Tensor out = Tensor::from(out_object, "out");
  const Scalar type = require_result(out);
  const std::int64_t rows = out.shape[0];
  const std::int64_t inputs = out.shape[1];
  require_positive(outputs, "outputs");
  require_padded(grad, rows, outputs);
  require_blocks(weights, outputs, inputs);
  const dense::Backward op{rows, inputs,  outputs, grad.shape[1], low_data(grad), low_data(weights),
                           type, out.data};
  const py::gil_scoped_release release;
  dense::backward(op, threads);
}

void dense_operand(const py::object& values_object, std::int64_t columns,
                   const py::object& over_columns_object, const py::object& over_rows_object, int threads,
                   std::uintptr_t /*stream*/) {
  require_tiles();
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor over_columns = Tensor::from(over_columns_object, "over_columns");
  const Tensor over_rows = Tensor::from(over_rows_object, "over_rows");
  const Scalar type = require_result(values);
  const std::int64_t rows = values.shape[0];
  require_positive(columns, "columns");
  if (columns > values.shape[1]) throw py::value_error("`columns` must be at most those of `values`");
  require_panels(over_columns, columns, rows);
  require_panels(over_rows, rows, columns);
  const dense::Operand op{rows, columns,     values.shape[1],        nullptr,
                          type, values.data, low_data(over_columns), low_data(over_rows)};
  const py::gil_scoped_release release;
  dense::operand(op, threads);
}

void dense_step(const py::object& weights_object, const py::object& grad_object, const py::object& x_object,
                std::int64_t rows, const py::object& first_object, const py::object& second_object,
                const py::object& low_object, double size, double beta1, double beta2, double epsilon,
                double decay, int threads, std::uintptr_t /*stream*/) {
  require_tiles();
  const Tensor weights = Tensor::from(weights_object, "weights");
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor x = Tensor::from(x_object, "x");
  const Tensor first = Tensor::optional(first_object, "first");
  const Tensor second = Tensor::optional(second_object, "second");
  const Tensor low = Tensor::from(low_object, "low");
  require_cpu(weights);
  weights.require_dtype({DType::kFloat32}).require_rank(2);
  const std::int64_t outputs = weights.shape[0];
  const std::int64_t inputs = weights.shape[1];
  require_positive(rows, "rows");
  require_padded(grad, outputs, rows);
  require_panels(x, rows, inputs);
  require_blocks(low, outputs, inputs);
  if (first.present() != second.present()) throw py::value_error("`first` and `second` come together");
  for (const Tensor* moment : {&first, &second}) {
    if (moment->present()) require_like(*moment, DType::kFloat32, {outputs, inputs}, "[O, I]");
  }
  dense::Step op{};
  op.rows = rows;
  op.inputs = inputs;
  op.outputs = outputs;
  op.grad_stride = grad.shape[1];
  op.grad = low_data(grad);
  op.x = low_data(x);
  op.weights = weights.as<float>();
  op.first = first.present() ? first.as<float>() : nullptr;
  op.second = second.present() ? second.as<float>() : nullptr;
  op.low = low_data(low);
  op.size = static_cast<float>(size);
  op.beta1 = static_cast<float>(beta1);
  op.beta2 = static_cast<float>(beta2);
  op.rest1 = static_cast<float>(1.0 - beta1);
  op.rest2 = static_cast<float>(1.0 - beta2);
  op.epsilon = static_cast<float>(epsilon);
  op.decay = static_cast<float>(decay);
  const py::gil_scoped_release release;
  dense::step(op, threads);
}

}  // namespace

void register_dense(py::module_& module) {
  using py::arg;
  module.def("dense_available", &dense::available);
  module.def("dense_in_tiles", &dense::in_tiles);
  module.def("dense_forward", &dense_forward, arg("x"), arg("inputs"), arg("weights"), arg("out"),
             arg("threads"), arg("stream"));
  module.def("dense_backward", &dense_backward, arg("grad"), arg("outputs"), arg("weights"), arg("out"),
             arg("threads"), arg("stream"));
  module.def("dense_operand", &dense_operand, arg("values"), arg("columns"), arg("over_columns"),
             arg("over_rows"), arg("threads"), arg("stream"));
  module.def("dense_step", &dense_step, arg("weights"), arg("grad"), arg("x"), arg("rows"),
             arg("first").none(true), arg("second").none(true), arg("low"), arg("size"), arg("beta1"),
             arg("beta2"), arg("epsilon"), arg("decay"), arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
