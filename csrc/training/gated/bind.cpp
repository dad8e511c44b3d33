// Bindings of the gated block: checks, then the kernel without the GIL. CPU only; elsewhere Python composes
// it.
#include <pybind11/pybind11.h>

#include "base/bindings/product.h"
#include "training/gated/gated.h"

namespace bioner::bindings {
namespace {

// values [n, C] (or the gradient of it), rows [n, taps * C]; first and last int64 [n], or None for one tap.
gated::Taps checked_taps(const Tensor& values, const Tensor& rows, const Tensor& first, const Tensor& last,
                         std::int64_t shift, std::int64_t dilation, std::uint64_t seed, double share) {
  gated::Taps op{};
  op.scalar = full_scalar(values);
  values.require_rank(2);
  op.product = product_scalar(rows, op.scalar);
  op.tokens = values.shape[0];
  op.width = values.shape[1];
  op.taps = first.present() ? 3 : 1;
  rows.require_shape({op.tokens, op.taps * op.width}, "[N, taps * C]");
  if (first.present()) {
    for (const Tensor* bound : {&first, &last}) {
      require_cpu(*bound);
      bound->require_dtype({DType::kInt64}).require_shape({op.tokens}, "[N]");
    }
    op.first = first.as<const std::int64_t>();
    op.last = last.as<const std::int64_t>();
  }
  if (dilation < 1 || dilation > (1 << 20)) throw py::value_error("`dilation` must be at least 1");
  constexpr std::int64_t kMostShift = std::int64_t{1} << 60;  // sums of it stay in range
  if (shift < 0 || shift > kMostShift) throw py::value_error("`shift` must be a number of a token");
  op.shift = shift;
  op.dilation = static_cast<int>(dilation);
  op.drop = drop_of(seed, share);
  return op;
}

void gated_taps(const py::object& values_object, const py::object& first_object,
                const py::object& last_object, std::int64_t shift, std::int64_t dilation, std::uint64_t seed,
                double share, const py::object& out_object, int threads, std::uintptr_t /*stream*/) {
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor first = Tensor::optional(first_object, "first");
  const Tensor last = Tensor::optional(last_object, "last");
  const Tensor out = Tensor::from(out_object, "out");
  gated::Taps op = checked_taps(values, out, first, last, shift, dilation, seed, share);
  op.values = values.data;
  op.rows = out.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  gated::taps_forward(op, level, threads);
}

void gated_taps_grad(const py::object& grad_object, const py::object& residual_object,
                     const py::object& first_object, const py::object& last_object, std::int64_t shift,
                     std::int64_t dilation, std::uint64_t seed, double share, const py::object& out_object,
                     int threads, std::uintptr_t /*stream*/) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor residual = Tensor::optional(residual_object, "residual");
  const Tensor first = Tensor::optional(first_object, "first");
  const Tensor last = Tensor::optional(last_object, "last");
  const Tensor out = Tensor::from(out_object, "out");
  gated::Taps op = checked_taps(out, grad, first, last, shift, dilation, seed, share);
  if (residual.present()) require_like(residual, out.dtype, {op.tokens, op.width}, "[N, C]");
  op.residual = residual.present() ? residual.data : nullptr;
  op.rows = grad.data;
  op.out = out.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  gated::taps_backward(op, level, threads);
}

// rows [n, 2 C], bias [2 C], hidden [n, C], weight [C], stats [n, 2].
gated::Gate checked_gate(const Tensor& rows, const Tensor& bias, const Tensor& hidden, const Tensor& weight,
                         const Tensor& stats, double epsilon) {
  gated::Gate op{};
  op.scalar = full_scalar(hidden);
  hidden.require_rank(2);
  op.product = product_scalar(rows, op.scalar);
  op.tokens = hidden.shape[0];
  op.width = hidden.shape[1];
  op.epsilon = epsilon;
  rows.require_shape({op.tokens, 2 * op.width}, "[N, 2 * C]");
  require_like(bias, hidden.dtype, {2 * op.width}, "[2 * C]");
  require_like(weight, hidden.dtype, {op.width}, "[C]");
  require_like(stats, hidden.dtype, {op.tokens, 2}, "[N, 2]");
  op.rows = rows.data;
  op.bias = bias.data;
  op.hidden = hidden.data;
  op.weight = weight.data;
  op.stats = stats.data;
  return op;
}

void gated_gate(const py::object& rows_object, const py::object& bias_object, const py::object& hidden_object,
                const py::object& weight_object, const py::object& shift_object, double epsilon,
                const py::object& stats_object, const py::object& out_object, int threads,
                std::uintptr_t /*stream*/) {
  const Tensor rows = Tensor::from(rows_object, "rows");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor hidden = Tensor::from(hidden_object, "hidden");
  const Tensor weight = Tensor::from(weight_object, "weight");
  const Tensor shift = Tensor::from(shift_object, "shift");
  const Tensor stats = Tensor::from(stats_object, "stats");
  const Tensor out = Tensor::from(out_object, "out");
  gated::Gate op = checked_gate(rows, bias, hidden, weight, stats, epsilon);
  require_like(shift, hidden.dtype, {op.width}, "[C]");
  require_like(out, hidden.dtype, {op.tokens, op.width}, "[N, C]");
  op.shift = shift.data;
  op.out = out.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  gated::gate_forward(op, level, threads);
}

void gated_gate_grad(const py::object& grad_object, const py::object& rows_object,
                     const py::object& bias_object, const py::object& hidden_object,
                     const py::object& weight_object, const py::object& stats_object,
                     const py::object& workspace_object, const py::object& grad_rows_object,
                     const py::object& grad_hidden_object, const py::object& grad_weight_object,
                     const py::object& grad_shift_object, const py::object& grad_bias_object, int threads,
                     std::uintptr_t /*stream*/) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor rows = Tensor::from(rows_object, "rows");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor hidden = Tensor::from(hidden_object, "hidden");
  const Tensor weight = Tensor::from(weight_object, "weight");
  const Tensor stats = Tensor::from(stats_object, "stats");
  const Tensor workspace = Tensor::from(workspace_object, "workspace");
  const Tensor grad_rows = Tensor::from(grad_rows_object, "grad_rows");
  const Tensor grad_hidden = Tensor::from(grad_hidden_object, "grad_hidden");
  const Tensor grad_weight = Tensor::from(grad_weight_object, "grad_weight");
  const Tensor grad_shift = Tensor::from(grad_shift_object, "grad_shift");
  const Tensor grad_bias = Tensor::from(grad_bias_object, "grad_bias");
  gated::Gate op = checked_gate(rows, bias, hidden, weight, stats, 0.0);
  require_like(grad, hidden.dtype, {op.tokens, op.width}, "[N, C]");
  require_like(workspace, hidden.dtype, {gated::block_count(op.tokens), 4 * op.width}, "[blocks, 4 * C]");
  require_cpu(grad_rows);
  grad_rows.require_dtype({rows.dtype}).require_shape({op.tokens, 2 * op.width}, "[N, 2 * C]");
  require_like(grad_hidden, hidden.dtype, {op.tokens, op.width}, "[N, C]");
  require_like(grad_weight, hidden.dtype, {op.width}, "[C]");
  require_like(grad_shift, hidden.dtype, {op.width}, "[C]");
  require_like(grad_bias, hidden.dtype, {2 * op.width}, "[2 * C]");
  op.grad = grad.data;
  op.workspace = workspace.data;
  op.grad_rows = grad_rows.data;
  op.grad_hidden = grad_hidden.data;
  op.grad_weight = grad_weight.data;
  op.grad_shift = grad_shift.data;
  op.grad_bias = grad_bias.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  gated::gate_backward(op, level, threads);
}

}  // namespace

void register_gated(py::module_& module) {
  using py::arg;
  module.attr("gated_tokens_per_block") = gated::kTokensPerBlock;
  module.def("gated_taps", &gated_taps, arg("values"), arg("first").none(true), arg("last").none(true),
             arg("shift"), arg("dilation"), arg("seed"), arg("share"), arg("out"), arg("threads"),
             arg("stream"));
  module.def("gated_taps_grad", &gated_taps_grad, arg("grad"), arg("residual").none(true),
             arg("first").none(true), arg("last").none(true), arg("shift"), arg("dilation"), arg("seed"),
             arg("share"), arg("out"), arg("threads"), arg("stream"));
  module.def("gated_gate", &gated_gate, arg("rows"), arg("bias"), arg("hidden"), arg("weight"), arg("shift"),
             arg("epsilon"), arg("stats"), arg("out"), arg("threads"), arg("stream"));
  module.def("gated_gate_grad", &gated_gate_grad, arg("grad"), arg("rows"), arg("bias"), arg("hidden"),
             arg("weight"), arg("stats"), arg("workspace"), arg("grad_rows"), arg("grad_hidden"),
             arg("grad_weight"), arg("grad_shift"), arg("grad_bias"), arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
