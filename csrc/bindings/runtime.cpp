// What the build and this machine offer, and the choice of SIMD level.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/tensor.h"
#include "runtime/simd.h"
#include "runtime/thread_pool.h"

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
  module.attr("hardware_threads") = hardware_threads();
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
  module.def("force_simd", &simd::force, py::arg("level"),
             "Force a SIMD level; the empty string undoes it. For tests and benchmarks.");
}

}  // namespace bioner::bindings
