// Binding of viterbi_decode: unpack, check, release the GIL, call.
#include <memory>

#include "base/bindings/tensor.h"
#include "ops/viterbi/viterbi.h"

namespace bioner::bindings {

namespace {

using viterbi::Params;
using viterbi::Readout;

template <typename T>
void decode(const Tensor& emissions, const Tensor& transitions, const Tensor& offsets, const Tensor& start,
            const Tensor& end, Readout readout, const Tensor& tags, const Tensor& scores,
            const Tensor& workspace, int threads, std::uintptr_t stream) {
  Params<T> params;
  params.emissions = emissions.as<const T>();
  params.transitions = transitions.as<const T>();
  params.offsets = offsets.as<const std::int64_t>();
  params.start = start.present() ? start.as<const T>() : nullptr;
  params.end = end.present() ? end.as<const T>() : nullptr;
  params.out_tags = tags.as<std::int64_t>();
  params.out_scores = scores.as<T>();
  params.tokens = emissions.shape[0];
  params.sentences = offsets.shape[0] - 1;
  params.tags = static_cast<int>(emissions.shape[1]);
  params.readout = readout;
  if (emissions.is_cuda) {
    require_cuda_build("viterbi_decode");
#if defined(BIONER_WITH_CUDA)
    check_cuda(viterbi::decode_cuda(params, workspace.data, reinterpret_cast<void*>(stream)),
               "viterbi_decode");
#endif
  } else {
    py::gil_scoped_release release;
    const viterbi::CpuPlan plan = viterbi::plan_cpu(params, threads);
    // Cache-line aligned; left uninitialised.
    std::unique_ptr<char[]> memory(new char[plan.workspace_bytes + 64]);
    const std::uintptr_t address = (reinterpret_cast<std::uintptr_t>(memory.get()) + 63) / 64 * 64;
    viterbi::decode_cpu(params, plan, reinterpret_cast<void*>(address), threads);
  }
  static_cast<void>(workspace);
  static_cast<void>(stream);
}

void viterbi_decode(const py::object& emissions_, const py::object& transitions_, const py::object& offsets_,
                    const py::object& start_, const py::object& end_, int readout, const py::object& tags_,
                    const py::object& scores_, const py::object& workspace_, int threads,
                    std::uintptr_t stream) {
  const Tensor emissions = Tensor::from(emissions_, "emissions");
  const Tensor transitions = Tensor::from(transitions_, "transitions");
  const Tensor offsets = Tensor::from(offsets_, "offsets");
  const Tensor start = Tensor::optional(start_, "start");
  const Tensor end = Tensor::optional(end_, "end");
  const Tensor tags = Tensor::from(tags_, "tags");
  const Tensor scores = Tensor::from(scores_, "scores");
  const Tensor workspace = Tensor::optional(workspace_, "workspace");

  emissions.require_dtype({DType::kFloat32, DType::kFloat64}).require_rank(2);
  const std::int64_t tokens = emissions.shape[0];
  const std::int64_t k = emissions.shape[1];
  if (k < 1 || k > viterbi::kMaxTags) {
    throw py::value_error("`emissions` must have between 1 and 256 tags, got " + std::to_string(k));
  }
  offsets.require_dtype({DType::kInt64}).require_rank(1).require_device_of(emissions);
  if (offsets.shape[0] < 1) throw py::value_error("`offsets` must have shape [B + 1], got [0]");
  const std::int64_t sentences = offsets.shape[0] - 1;
  transitions.require_dtype({emissions.dtype}).require_shape({k, k}, "[K, K]").require_device_of(emissions);
  if (start.present())
    start.require_dtype({emissions.dtype}).require_shape({k}, "[K]").require_device_of(emissions);
  if (end.present())
    end.require_dtype({emissions.dtype}).require_shape({k}, "[K]").require_device_of(emissions);
  tags.require_dtype({DType::kInt64}).require_shape({tokens}, "[N]").require_device_of(emissions);
  scores.require_dtype({emissions.dtype}).require_shape({sentences}, "[B]").require_device_of(emissions);
  if (readout != 0 && readout != 1)
    throw py::value_error("`readout` must be 0 or 1, got " + std::to_string(readout));
  if (emissions.is_cuda) {
    if (!workspace.present()) throw py::value_error("`workspace` is required on CUDA");
    workspace.require_dtype({DType::kUInt8}).require_device_of(emissions);
    if (workspace.numel() <
        static_cast<std::int64_t>(viterbi::cuda_workspace_bytes(tokens, static_cast<int>(k)))) {
      throw py::value_error("`workspace` must have N * K bytes");
    }
  } else {
    check_offsets(offsets, tokens);
  }

  const Readout rule = static_cast<Readout>(readout);
  if (emissions.dtype == DType::kFloat32) {
    decode<float>(emissions, transitions, offsets, start, end, rule, tags, scores, workspace, threads,
                  stream);
  } else {
    decode<double>(emissions, transitions, offsets, start, end, rule, tags, scores, workspace, threads,
                   stream);
  }
}

template <typename T>
void top_k(const Tensor& emissions, const Tensor& transitions, const Tensor& offsets, const Tensor& start,
           const Tensor& end, const Tensor& tags, const Tensor& scores, int threads) {
  const Params<T> params = {emissions.as<const T>(),
                            transitions.as<const T>(),
                            offsets.as<const std::int64_t>(),
                            start.present() ? start.as<const T>() : nullptr,
                            end.present() ? end.as<const T>() : nullptr,
                            tags.as<std::int64_t>(),
                            scores.as<T>(),
                            emissions.shape[0],
                            offsets.shape[0] - 1,
                            static_cast<int>(emissions.shape[1]),
                            Readout::kPath};
  const int k = static_cast<int>(tags.shape[1]);
  py::gil_scoped_release release;
  viterbi::top_k_cpu(params, k, threads);
}

void viterbi_top_k(const py::object& emissions_, const py::object& transitions_, const py::object& offsets_,
                   const py::object& start_, const py::object& end_, const py::object& tags_,
                   const py::object& scores_, int threads, std::uintptr_t) {
  const Tensor emissions = Tensor::from(emissions_, "emissions");
  const Tensor transitions = Tensor::from(transitions_, "transitions");
  const Tensor offsets = Tensor::from(offsets_, "offsets");
  const Tensor start = Tensor::optional(start_, "start");
  const Tensor end = Tensor::optional(end_, "end");
  const Tensor tags = Tensor::from(tags_, "tags");
  const Tensor scores = Tensor::from(scores_, "scores");
  emissions.require_dtype({DType::kFloat32, DType::kFloat64}).require_rank(2);
  if (emissions.is_cuda) throw py::value_error("`emissions` must be on the CPU");
  const std::int64_t k = emissions.shape[1];
  if (k < 1 || k > viterbi::kMaxTags) {
    throw py::value_error("`emissions` must have between 1 and 256 tags, got " + std::to_string(k));
  }
  offsets.require_dtype({DType::kInt64}).require_rank(1).require_device_of(emissions);
  if (offsets.shape[0] < 1) throw py::value_error("`offsets` must have shape [B + 1], got [0]");
  transitions.require_dtype({emissions.dtype}).require_shape({k, k}, "[K, K]").require_device_of(emissions);
  for (const Tensor* part : {&start, &end}) {
    if (part->present())
      part->require_dtype({emissions.dtype}).require_shape({k}, "[K]").require_device_of(emissions);
  }
  tags.require_dtype({DType::kInt64}).require_shape({emissions.shape[0], -1}, "[N, k]");
  tags.require_device_of(emissions);
  const std::int64_t paths = tags.shape[1];
  if (paths < 1 || paths > viterbi::kMostPaths) throw py::value_error("`k` must be between 1 and 1024");
  scores.require_dtype({emissions.dtype}).require_shape({offsets.shape[0] - 1, paths}, "[B, k]");
  scores.require_device_of(emissions);
  check_offsets(offsets, emissions.shape[0]);
  if (emissions.dtype == DType::kFloat32) {
    top_k<float>(emissions, transitions, offsets, start, end, tags, scores, threads);
  } else {
    top_k<double>(emissions, transitions, offsets, start, end, tags, scores, threads);
  }
}

}  // namespace

void register_viterbi(py::module_& module) {
  module.def("viterbi_top_k", &viterbi_top_k, py::arg("emissions"), py::arg("transitions"),
             py::arg("offsets"), py::arg("start").none(true), py::arg("end").none(true), py::arg("tags"),
             py::arg("scores"), py::arg("threads"), py::arg("stream"),
             "Writes the k best tag sequences and their scores; see bioner_fast.ops.viterbi_top_k.");
  module.def("viterbi_decode", &viterbi_decode, py::arg("emissions"), py::arg("transitions"),
             py::arg("offsets"), py::arg("start").none(true), py::arg("end").none(true), py::arg("readout"),
             py::arg("tags"), py::arg("scores"), py::arg("workspace").none(true), py::arg("threads"),
             py::arg("stream"),
             "Writes the best tags and scores of packed sentences; see bioner_fast.ops.viterbi_decode.");
}

}  // namespace bioner::bindings
