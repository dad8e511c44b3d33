// Checks that bindings share whose kernels lie beside matrix products: values are float32 or float64,
// operands of the products the same or bfloat16. CPU only.
#pragma once

#include "base/bindings/tensor.h"
#include "base/core/scalar.h"
#include "training/gated/gated.h"

namespace bioner::bindings {

inline void require_cpu(const Tensor& tensor) {
  if (tensor.is_cuda) throw py::value_error("`" + tensor.name + "` must be on the CPU");
}

// The type of values: float32 or float64.
inline Scalar full_scalar(const Tensor& tensor) {
  tensor.require_dtype({DType::kFloat32, DType::kFloat64});
  require_cpu(tensor);
  return tensor.dtype == DType::kFloat64 ? Scalar::kFloat64 : Scalar::kFloat32;
}

// The type of a product's operand beside values of type `scalar`.
inline Scalar product_scalar(const Tensor& tensor, Scalar scalar) {
  require_cpu(tensor);
  if (scalar == Scalar::kFloat64) {
    tensor.require_dtype({DType::kFloat64});
    return scalar;
  }
  tensor.require_dtype({DType::kFloat32, DType::kBFloat16});
  return tensor.dtype == DType::kBFloat16 ? Scalar::kBFloat16 : Scalar::kFloat32;
}

inline void require_like(const Tensor& tensor, DType dtype, std::initializer_list<std::int64_t> shape,
                         const char* meaning) {
  require_cpu(tensor);
  tensor.require_dtype({dtype}).require_shape(shape, meaning);
}

inline gated::Drop drop_of(std::uint64_t seed, double share) {
  if (!(share >= 0.0 && share < 1.0)) throw py::value_error("`share` must be at least 0 and below 1");
  constexpr double kAll = 4294967296.0;
  const double kept = (1.0 - share) * kAll;
  // A share below 1e-16 is none: there is no number of 32 bits for it.
  const auto threshold = kept >= kAll ? 0U : static_cast<std::uint32_t>(kept < 1.0 ? 1.0 : kept);
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32), threshold,
          1.0 / (1.0 - share)};
}

}  // namespace bioner::bindings
