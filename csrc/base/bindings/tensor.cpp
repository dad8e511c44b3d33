#include "base/bindings/tensor.h"

#include "base/bindings/dlpack.h"
#if defined(BIONER_WITH_CUDA)
#include "base/runtime/cuda_status.h"
#endif

namespace bioner::bindings {
namespace {

DType dtype_of(const dlpack::DataType& type) {
  if (type.lanes != 1) return DType::kOther;
  switch (type.code) {
    case dlpack::kFloat:
      return type.bits == 16   ? DType::kFloat16
             : type.bits == 32 ? DType::kFloat32
             : type.bits == 64 ? DType::kFloat64
                               : DType::kOther;
    case dlpack::kBFloat:
      return type.bits == 16 ? DType::kBFloat16 : DType::kOther;
    case dlpack::kInt:
      return type.bits == 32 ? DType::kInt32 : type.bits == 64 ? DType::kInt64 : DType::kOther;
    case dlpack::kUInt:
      return type.bits == 8 ? DType::kUInt8 : DType::kOther;
    case dlpack::kBool:
      return type.bits == 8 ? DType::kBool : DType::kOther;
    default:
      return DType::kOther;
  }
}

std::string tick(const std::string& name) { return "`" + name + "`"; }

template <typename T>
void check_ids_as(const Tensor& ids, std::int64_t limit, const std::int64_t* also) {
  const T* data = ids.as<T>();
  const std::int64_t n = ids.numel();
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = static_cast<std::int64_t>(data[i]);
    if (value >= 0 && value < limit) continue;
    if (also != nullptr && value == *also) continue;
    throw py::value_error(tick(ids.name) + " must lie in [0, " + std::to_string(limit) + "), got " +
                          std::to_string(value) + " at position " + std::to_string(i));
  }
}

}  // namespace

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return "float16";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kUInt8:
      return "uint8";
    case DType::kBool:
      return "bool";
    case DType::kOther:
      break;
  }
  return "another dtype";
}

Tensor Tensor::from(const py::handle& object, const char* argument) {
  Tensor result;
  result.name = argument;
  if (PyCapsule_CheckExact(object.ptr())) {
    result.owner = py::reinterpret_borrow<py::object>(object);
  } else if (py::hasattr(object, "__dlpack__")) {
    result.owner = object.attr("__dlpack__")();
  } else {
    throw py::type_error(tick(argument) + " must be a tensor, got " + Py_TYPE(object.ptr())->tp_name);
  }
  if (PyCapsule_IsValid(result.owner.ptr(), "dltensor") == 0) {
    throw py::type_error(tick(argument) + " must be an unused DLPack capsule");
  }
  const auto* managed =
      static_cast<const dlpack::ManagedTensor*>(PyCapsule_GetPointer(result.owner.ptr(), "dltensor"));
  const dlpack::TensorView& view = managed->tensor;
  if (view.ndim > 4) {
    throw py::value_error(tick(argument) + " has " + std::to_string(view.ndim) +
                          " dimensions, at most 4 are taken");
  }
  result.dtype = dtype_of(view.dtype);
  result.rank = view.ndim;
  for (int i = 0; i < view.ndim; ++i) result.shape[i] = view.shape[i];
  if (view.device.type == dlpack::kCuda || view.device.type == dlpack::kCudaManaged) {
    result.is_cuda = true;
    result.device_index = view.device.id;
  } else if (view.device.type != dlpack::kCpu && view.device.type != dlpack::kCudaHost) {
    throw py::value_error(tick(argument) + " must be on the CPU or a CUDA device");
  }
#if !defined(BIONER_WITH_CUDA)
  if (result.is_cuda) require_cuda_build(argument);
#endif
  if (view.strides != nullptr && result.numel() > 0) {
    std::int64_t expected = 1;
    for (int i = view.ndim - 1; i >= 0; --i) {
      if (view.shape[i] != 1 && view.strides[i] != expected) {
        throw py::value_error(tick(argument) + " must be contiguous, got shape " + result.describe_shape() +
                              " with other strides");
      }
      expected *= view.shape[i];
    }
  }
  result.data = static_cast<char*>(view.data) + view.byte_offset;
  return result;
}

Tensor Tensor::optional(const py::handle& object, const char* argument) {
  if (!object.is_none()) return from(object, argument);
  Tensor result;
  result.name = argument;
  return result;
}

std::int64_t Tensor::numel() const {
  std::int64_t product = 1;
  for (int i = 0; i < rank; ++i) product *= shape[i];
  return product;
}

std::string Tensor::describe_shape() const {
  std::string text = "[";
  for (int i = 0; i < rank; ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

const Tensor& Tensor::require_dtype(std::initializer_list<DType> allowed) const {
  std::string names;
  std::size_t index = 0;
  for (const DType candidate : allowed) {
    if (dtype == candidate) return *this;
    names += index == 0 ? "" : (index + 1 == allowed.size() ? " or " : ", ");
    names += dtype_name(candidate);
    ++index;
  }
  throw py::type_error(tick(name) + " must be " + names + ", got " + dtype_name(dtype));
}

const Tensor& Tensor::require_rank(int expected) const {
  if (rank == expected) return *this;
  throw py::value_error(tick(name) + " must have " + std::to_string(expected) + " dimension" +
                        (expected == 1 ? "" : "s") + ", got shape " + describe_shape());
}

const Tensor& Tensor::require_shape(std::initializer_list<std::int64_t> expected, const char* meaning) const {
  bool good = rank == static_cast<int>(expected.size());
  std::string wanted = "[";
  int i = 0;
  for (const std::int64_t size : expected) {
    if (good && size >= 0 && shape[i] != size) good = false;
    wanted += (i == 0 ? "" : ", ") + (size < 0 ? std::string("any") : std::to_string(size));
    ++i;
  }
  if (good) return *this;
  throw py::value_error(tick(name) + " must have shape " + meaning + " = " + wanted + "], got " +
                        describe_shape());
}

const Tensor& Tensor::require_device_of(const Tensor& other) const {
  if (is_cuda == other.is_cuda && (!is_cuda || device_index == other.device_index)) return *this;
  const auto device = [](const Tensor& t) {
    return t.is_cuda ? "cuda:" + std::to_string(t.device_index) : std::string("cpu");
  };
  throw py::value_error(tick(name) + " must be on the device of " + tick(other.name) + " (" + device(other) +
                        "), got " + device(*this));
}

void check_offsets(const Tensor& offsets, std::int64_t tokens) {
  offsets.require_dtype({DType::kInt64}).require_rank(1);
  const std::int64_t size = offsets.shape[0];
  if (size < 1) throw py::value_error(tick(offsets.name) + " must have at least one element, got shape [0]");
  const auto* data = offsets.as<const std::int64_t>();
  if (data[0] != 0) {
    throw py::value_error(tick(offsets.name) + " must start at 0, got " + std::to_string(data[0]));
  }
  for (std::int64_t i = 1; i < size; ++i) {
    if (data[i] < data[i - 1]) {
      throw py::value_error(tick(offsets.name) + " must not decrease, got " + std::to_string(data[i - 1]) +
                            " then " + std::to_string(data[i]) + " at position " + std::to_string(i));
    }
  }
  if (data[size - 1] != tokens) {
    throw py::value_error(tick(offsets.name) + " must end at the number of tokens (" +
                          std::to_string(tokens) + "), got " + std::to_string(data[size - 1]));
  }
}

void check_ids(const Tensor& ids, std::int64_t limit, const std::int64_t* also) {
  ids.require_dtype({DType::kInt32, DType::kInt64});
  if (ids.dtype == DType::kInt32) {
    check_ids_as<const std::int32_t>(ids, limit, also);
  } else {
    check_ids_as<const std::int64_t>(ids, limit, also);
  }
}

void require_cuda_build(const char* name) {
#if defined(BIONER_WITH_CUDA)
  (void)name;
#else
  throw std::runtime_error(
      tick(name) +
      " got CUDA tensors, but this build of bioner_fast has no CUDA kernels; install it where "
      "nvcc is found (or with BIONER_CUDA=ON), or move the tensors to the CPU");
#endif
}

void check_cuda(int status, const char* op) {
  if (status == 0) return;
#if defined(BIONER_WITH_CUDA)
  throw std::runtime_error(std::string(op) + ": CUDA error: " + cuda_status_text(status));
#else
  throw std::runtime_error(std::string(op) + ": CUDA error " + std::to_string(status));
#endif
}

}  // namespace bioner::bindings
