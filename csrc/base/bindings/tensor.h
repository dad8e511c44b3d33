// Tensors at the Python boundary, and the checks that every binding makes before it releases the GIL.
//
// HOW TO ADD AN OP (`scale` stands for its name, which folder, binding, Python op, reference and test share)
//   1. csrc/ops/scale/scale.h: POD parameters and one function per backend; cpu.cpp and cuda.cu beside it
//      define them. They include base/core and base/runtime only: no Python, no Torch, no checks, no
//      allocation.
//   2. csrc/ops/scale/bind.cpp: void register_scale(py::module_&) takes py::object tensors (inputs first,
//      then the outputs that Python allocated, then `threads` and `stream`), turns each into a Tensor with
//      Tensor::from, checks them with the functions below, releases the GIL (py::gil_scoped_release), calls
//      the kernel.
//   3. csrc/CMakeLists.txt: name the files. base/bindings/module.cpp: declare register_scale and call it.
//   4. ops/scale.py: the public function, the op that Torch knows, its fake and its autograd, by helpers of
//      ops/_native.py; tests/reference/scale.py, tests/ops/test_scale.py, bench_scale.py.
//
// Tensors come as DLPack capsules or as objects with __dlpack__ (NumPy arrays, Torch tensors that need no
// gradient). The view is borrowed for the call: the capsule keeps the memory, and nothing is copied. Streams
// are passed apart, as an integer, so no synchronisation hides in the exchange.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace bioner::bindings {

namespace py = pybind11;

enum class DType { kFloat16, kBFloat16, kFloat32, kFloat64, kInt32, kInt64, kUInt8, kBool, kOther };

const char* dtype_name(DType dtype);

// A contiguous (row-major) tensor on the CPU or on a CUDA device.
struct Tensor {
  std::string name;  // the argument, as messages call it
  void* data = nullptr;
  DType dtype = DType::kOther;
  int rank = 0;
  std::int64_t shape[4] = {0, 0, 0, 0};
  bool is_cuda = false;
  int device_index = 0;
  py::object owner;  // the capsule: keeps the memory while the view lives

  // TypeError where `object` is no tensor; ValueError where it is not contiguous, has more than four
  // dimensions or lies on a device that is neither CPU nor CUDA.
  static Tensor from(const py::handle& object, const char* argument);

  // The same, but None gives a view without data: test it with present().
  static Tensor optional(const py::handle& object, const char* argument);

  bool present() const { return !owner.is_none() && owner; }
  std::int64_t numel() const;
  std::string describe_shape() const;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }

  // Each throws TypeError (dtype) or ValueError (rank, shape, device) with the argument, what was expected,
  // what came.
  const Tensor& require_dtype(std::initializer_list<DType> allowed) const;
  const Tensor& require_rank(int expected) const;
  // -1 stands for any size. `meaning` spells the shape out, as in "[N, K]".
  const Tensor& require_shape(std::initializer_list<std::int64_t> expected, const char* meaning) const;
  const Tensor& require_device_of(const Tensor& other) const;
};

// Contents of offsets: starts at 0, never falls, ends at `tokens`. CPU only; ValueError names the first bad
// place.
void check_offsets(const Tensor& offsets, std::int64_t tokens);

// Contents of integer `ids` lie in [0, limit), or equal `also` where that is allowed. CPU only.
void check_ids(const Tensor& ids, std::int64_t limit, const std::int64_t* also = nullptr);

// Every CUDA branch begins with it: a CPU build throws RuntimeError, which says how to get the CUDA kernels.
void require_cuda_build(const char* name);

// `status` is a cudaError_t; RuntimeError unless it is success.
void check_cuda(int status, const char* op);

}  // namespace bioner::bindings
