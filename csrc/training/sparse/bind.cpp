// Bindings of the sparse products: checks, then the kernel without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <cstdint>

#include "base/bindings/product.h"
#include "training/sparse/sparse.h"

namespace bioner::bindings {
namespace {

// left [M, K], right [K, N], out [M, N], of one type.
void sparse_multiply(const py::object& left_object, const py::object& right_object,
                     const py::object& out_object, int threads, std::uintptr_t /*stream*/) {
  const Tensor left = Tensor::from(left_object, "left");
  const Tensor right = Tensor::from(right_object, "right");
  const Tensor out = Tensor::from(out_object, "out");
  sparse::Product op{};
  require_cpu(left);
  left.require_dtype({DType::kBFloat16, DType::kFloat32, DType::kFloat64}).require_rank(2);
  right.require_rank(2);
  op.scalar = left.dtype == DType::kFloat64 ? Scalar::kFloat64 : product_scalar(left, Scalar::kFloat32);
  op.rows = left.shape[0];
  op.summed = left.shape[1];
  op.columns = right.shape[1];
  if (op.summed > INT32_MAX) throw py::value_error("`left` must have fewer than 2^31 columns");
  require_like(right, left.dtype, {op.summed, op.columns}, "[K, N]");
  require_like(out, left.dtype, {op.rows, op.columns}, "[M, N]");
  op.left = left.data;
  op.right = right.data;
  op.out = out.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  sparse::multiply(op, level, threads);
}

// left [M, K], right [N, K] of one type; bias [N] and out [M, N] of the full one.
void sparse_kept(const py::object& left_object, const py::object& right_object, const py::object& bias_object,
                 std::uint64_t seed, double share, const py::object& out_object, int threads,
                 std::uintptr_t /*stream*/) {
  const Tensor left = Tensor::from(left_object, "left");
  const Tensor right = Tensor::from(right_object, "right");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor out = Tensor::from(out_object, "out");
  sparse::Kept op{};
  op.scalar = product_scalar(left, full_scalar(bias));
  left.require_rank(2);
  right.require_rank(2);
  op.rows = left.shape[0];
  op.summed = left.shape[1];
  op.units = right.shape[0];
  op.drop = drop_of(seed, share);
  require_like(right, left.dtype, {op.units, op.summed}, "[N, K]");
  bias.require_shape({op.units}, "[N]");
  require_like(out, bias.dtype, {op.rows, op.units}, "[M, N]");
  op.left = left.data;
  op.right = right.data;
  op.bias = bias.data;
  op.out = out.data;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  sparse::kept(op, level, threads);
}

}  // namespace

void register_sparse(py::module_& module) {
  using py::arg;
  module.def("sparse_multiply", &sparse_multiply, arg("left"), arg("right"), arg("out"), arg("threads"),
             arg("stream"));
  module.def("sparse_kept", &sparse_kept, arg("left"), arg("right"), arg("bias"), arg("seed"), arg("share"),
             arg("out"), arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
