// What the build and this machine offer, and the choice of SIMD level.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "base/bindings/dlpack.h"
#include "base/bindings/tensor.h"
#include "base/runtime/buffers.h"
#include "base/runtime/simd.h"
#include "base/runtime/thread_pool.h"

namespace bioner::bindings {

namespace py = pybind11;

namespace {

std::string compiler() {
#if defined(__clang__)
  return "Clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__);
#elif defined(__GNUC__)
  return "GCC " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
#elif defined(_MSC_VER)
  return "MSVC " + std::to_string(_MSC_VER);
#else
  return "unknown";
#endif
}

dlpack::DataType float_type(const std::string& dtype) {
  if (dtype == "float16") return {dlpack::kFloat, 16, 1};
  if (dtype == "bfloat16") return {dlpack::kBFloat, 16, 1};
  if (dtype == "float32") return {dlpack::kFloat, 32, 1};
  if (dtype == "float64") return {dlpack::kFloat, 64, 1};
  throw py::type_error("`dtype` must be float16, bfloat16, float32 or float64, got " + dtype);
}

// What a capsule owns: freed by whoever takes the tensor, or with the capsule where nobody did.
struct LentTensor {
  dlpack::ManagedTensor managed;
  std::int64_t shape[2];

  static void free(dlpack::ManagedTensor* managed) {
    auto* lent = static_cast<LentTensor*>(managed->manager);
    give_buffer(lent->managed.tensor.data);
    delete lent;
  }
};

py::object take_output(std::int64_t rows, std::int64_t columns, const std::string& dtype) {
  const dlpack::DataType type = float_type(dtype);
  if (rows < 0 || columns < 0) throw py::value_error("`rows` and `columns` must not be negative");
  const std::int64_t most = INT64_MAX / 16;
  if (columns > 0 && rows > most / columns) return py::none();
  void* data = take_buffer(rows * columns * (type.bits / 8));
  if (data == nullptr) return py::none();
  auto* lent = new LentTensor{
      {{data, {dlpack::kCpu, 0}, 2, type, nullptr, nullptr, 0}, nullptr, &LentTensor::free}, {rows, columns}};
  lent->managed.manager = lent;
  lent->managed.tensor.shape = lent->shape;
  PyObject* capsule = PyCapsule_New(&lent->managed, "dltensor", [](PyObject* object) {
    if (PyCapsule_IsValid(object, "dltensor") == 0) return;  // taken: its new owner frees it
    auto* managed = static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(object, "dltensor"));
    managed->deleter(managed);
  });
  if (capsule == nullptr) {
    LentTensor::free(&lent->managed);
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace

void register_runtime(py::module_& module) {
  module.def(
      "check_offsets",
      [](const py::object& offsets, std::int64_t tokens) {
        check_offsets(Tensor::from(offsets, "offsets"), tokens);
      },
      py::arg("offsets"), py::arg("tokens"),
      "ValueError unless offsets start at 0, never fall and end at `tokens`.");
  module.def(
      "check_ids",
      [](const py::object& ids, const std::string& name, std::int64_t limit) {
        check_ids(Tensor::from(ids, name.c_str()), limit);
      },
      py::arg("ids"), py::arg("name"), py::arg("limit"), "ValueError unless every id lies in [0, limit).");
#if defined(BIONER_WITH_CUDA)
  module.attr("cuda_architectures") = BIONER_CUDA_ARCHITECTURES;
#else
  module.attr("cuda_architectures") = py::none();
#endif
  module.attr("compiler") = compiler();
  module.attr("commit") = BIONER_COMMIT;
  module.attr("recycled_bytes") = kRecycledBytes;
  module.def(
      "take_output", &take_output, py::arg("rows"), py::arg("columns"), py::arg("dtype"),
      "A DLPack capsule [rows, columns] with any contents, whose memory is kept for the next one when it is "
      "freed; None where such memory is not to be had.");
  module.def("kept_buffer_bytes", &kept_buffer_bytes,
             "Bytes of freed outputs that are kept for the next ones.");
  module.def("drop_buffers", &drop_buffers, "Return what kept_buffer_bytes counts to the system.");
  module.attr("hardware_threads") = hardware_threads();
  module.attr("is_intel") = simd::is_intel();
  module.def(
      "simd_levels",
      [] {
        std::vector<std::string> names;
        for (const simd::Level level : simd::available()) names.emplace_back(simd::name(level));
        return names;
      },
      "SIMD levels that can run here, lowest first.");
  module.def(
      "simd_level", [] { return std::string(simd::name(simd::active())); },
      "The SIMD level in use. ValueError where BIONER_SIMD names an unknown or unavailable one.");
  module.def(
      "simd_extensions",
      [] {
        std::vector<std::string> names;
        for (const simd::Extension extension : simd::available_extensions()) {
          names.emplace_back(simd::name(extension));
        }
        return names;
      },
      "What inference may use beyond AVX2 and AVX-512 here, lowest first.");
  module.def(
      "simd_extension",
      []() -> std::optional<std::string> {
        const simd::Level level = simd::active();
        if (level != simd::Level::kAvx2 && level != simd::Level::kAvx512) return std::nullopt;
        return std::string(simd::name(simd::extension()));
      },
      "The extension in use; None at levels other than AVX2 and AVX-512.");
  module.def("force_simd", &simd::force, py::arg("level"),
             "Force a SIMD level or an extension; the empty string undoes it. For tests and benchmarks.");
}

}  // namespace bioner::bindings
