// Binding of the sparse product: checks, then the kernel without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <cstdint>

#include "bindings/product.h"
#include "sparse/sparse.h"

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

}  // namespace

void register_sparse(py::module_& module) {
  using py::arg;
  module.def("sparse_multiply", &sparse_multiply, arg("left"), arg("right"), arg("out"), arg("threads"),
             arg("stream"));
}

}  // namespace bioner::bindings
