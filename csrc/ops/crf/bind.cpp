// Bindings of the CRF ops: unpack, check, release the GIL, call.
#include <memory>
#include <vector>

#include "base/bindings/tensor.h"
#include "ops/crf/crf.h"

namespace bioner::bindings {

namespace {

using crf::CpuPlan;
using crf::Params;
using crf::Task;

// What every CRF op takes, checked.
struct Inputs {
  Tensor emissions, transitions, offsets, start, end, gold;

  std::int64_t tokens() const { return emissions.shape[0]; }
  std::int64_t tags() const { return emissions.shape[1]; }
  std::int64_t sentences() const { return offsets.shape[0] - 1; }

  // `out` [shape] of the dtype and on the device of the emissions.
  Tensor output(const py::object& object, const char* name, std::initializer_list<std::int64_t> shape,
                const char* meaning) const {
    Tensor out = Tensor::optional(object, name);
    if (out.present())
      out.require_dtype({emissions.dtype}).require_shape(shape, meaning).require_device_of(emissions);
    return out;
  }

  template <typename T>
  Params<T> params() const {
    return {emissions.as<const T>(),
            transitions.as<const T>(),
            offsets.as<const std::int64_t>(),
            start.present() ? start.as<const T>() : nullptr,
            end.present() ? end.as<const T>() : nullptr,
            gold.present() ? gold.as<const std::int64_t>() : nullptr,
            tokens(),
            sentences(),
            static_cast<int>(tags())};
  }
};

Inputs check_inputs(const py::object& emissions, const py::object& gold, const py::object& transitions,
                    const py::object& offsets, const py::object& start, const py::object& end) {
  Inputs in{Tensor::from(emissions, "emissions"), Tensor::from(transitions, "transitions"),
            Tensor::from(offsets, "offsets"),     Tensor::optional(start, "start"),
            Tensor::optional(end, "end"),         Tensor::optional(gold, "tags")};
  const Tensor& e = in.emissions;
  e.require_dtype({DType::kFloat32, DType::kFloat64}).require_rank(2);
  const std::int64_t k = in.tags();
  if (k < 1 || k > crf::kMaxTags) {
    throw py::value_error("`emissions` must have between 1 and 256 tags, got " + std::to_string(k));
  }
  in.offsets.require_dtype({DType::kInt64}).require_rank(1).require_device_of(e);
  if (in.offsets.shape[0] < 1) throw py::value_error("`offsets` must have shape [B + 1], got [0]");
  in.transitions.require_dtype({e.dtype}).require_shape({k, k}, "[K, K]").require_device_of(e);
  if (in.start.present()) in.start.require_dtype({e.dtype}).require_shape({k}, "[K]").require_device_of(e);
  if (in.end.present()) in.end.require_dtype({e.dtype}).require_shape({k}, "[K]").require_device_of(e);
  if (in.gold.present()) {
    in.gold.require_dtype({DType::kInt64}).require_shape({in.tokens()}, "[N]").require_device_of(e);
    if (!e.is_cuda) check_ids(in.gold, k);
  }
  if (!e.is_cuda) check_offsets(in.offsets, in.tokens());
  return in;
}

// Calls work(zero of the dtype of the emissions).
template <typename Work>
void with_dtype(const Inputs& in, const Work& work) {
  if (in.emissions.dtype == DType::kFloat32) {
    work(0.0F);
  } else {
    work(0.0);
  }
}

// Plans, allocates and calls work(plan, workspace) without the GIL.
template <typename T, typename Work>
void on_cpu(const Params<T>& params, Task task, int threads, const Work& work) {
  py::gil_scoped_release release;
  const CpuPlan plan = crf::plan_cpu(params, task, threads);
  std::unique_ptr<char[]> memory(new char[plan.workspace_bytes + 64]);  // uninitialised; aligned below
  const std::uintptr_t address = (reinterpret_cast<std::uintptr_t>(memory.get()) + 63) / 64 * 64;
  work(plan, reinterpret_cast<void*>(address));
}

#if defined(BIONER_WITH_CUDA)
void* cuda_workspace(const Inputs& in, const py::object& object, Task task) {
  const Tensor workspace = Tensor::optional(object, "workspace");
  const std::size_t bytes =
      crf::cuda_workspace_bytes(in.tokens(), in.sentences(), static_cast<int>(in.tags()), task);
  if (bytes == 0) return nullptr;
  if (!workspace.present()) throw py::value_error("`workspace` is required on CUDA");
  workspace.require_dtype({DType::kUInt8}).require_device_of(in.emissions);
  if (static_cast<std::size_t>(workspace.numel()) < bytes) {
    throw py::value_error("`workspace` must have " + std::to_string(bytes) + " bytes");
  }
  return workspace.data;
}
#endif

void log_likelihood(const py::object& emissions, const py::object& gold, const py::object& transitions,
                    const py::object& offsets, const py::object& start, const py::object& end,
                    const py::object& out_, int threads, std::uintptr_t stream) {
  const Inputs in = check_inputs(emissions, gold, transitions, offsets, start, end);
  const Tensor out = in.output(out_, "out", {in.sentences()}, "[B]");
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    const Params<T> params = in.params<T>();
    if (in.emissions.is_cuda) {
      require_cuda_build("crf_log_likelihood");
#if defined(BIONER_WITH_CUDA)
      check_cuda(crf::log_likelihood_cuda(params, reinterpret_cast<void*>(stream), out.as<T>()),
                 "crf_log_likelihood");
#endif
    } else {
      on_cpu(params, Task::kLogLikelihood, threads, [&](const CpuPlan& plan, void* workspace) {
        crf::log_likelihood_cpu(params, plan, workspace, threads, out.as<T>());
      });
    }
  });
  static_cast<void>(stream);
}

void gradients(const py::object& upstream_, const py::object& emissions, const py::object& gold,
               const py::object& transitions, const py::object& offsets, const py::object& start,
               const py::object& end, const py::object& d_emissions_, const py::object& d_transitions_,
               const py::object& d_start_, const py::object& d_end_, const py::object& workspace_,
               int threads, std::uintptr_t stream) {
  const Inputs in = check_inputs(emissions, gold, transitions, offsets, start, end);
  const std::int64_t k = in.tags();
  const Tensor upstream = in.output(upstream_, "upstream", {in.sentences()}, "[B]");
  const Tensor d_emissions = in.output(d_emissions_, "d_emissions", {in.tokens(), k}, "[N, K]");
  const Tensor d_transitions = in.output(d_transitions_, "d_transitions", {k, k}, "[K, K]");
  const Tensor d_start = in.output(d_start_, "d_start", {k}, "[K]");
  const Tensor d_end = in.output(d_end_, "d_end", {k}, "[K]");
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    const Params<T> params = in.params<T>();
    const crf::Gradients<T> outputs = {upstream.as<const T>(), d_emissions.as<T>(),
                                       d_transitions.present() ? d_transitions.as<T>() : nullptr,
                                       d_start.present() ? d_start.as<T>() : nullptr,
                                       d_end.present() ? d_end.as<T>() : nullptr};
    if (in.emissions.is_cuda) {
      require_cuda_build("crf_log_likelihood");
#if defined(BIONER_WITH_CUDA)
      check_cuda(crf::gradients_cuda(params, cuda_workspace(in, workspace_, Task::kGradients),
                                     reinterpret_cast<void*>(stream), outputs),
                 "crf_log_likelihood");
#endif
    } else {
      on_cpu(params, Task::kGradients, threads, [&](const CpuPlan& plan, void* workspace) {
        crf::gradients_cpu(params, plan, workspace, threads, outputs);
      });
    }
  });
  static_cast<void>(workspace_);
  static_cast<void>(stream);
}

void marginals(const py::object& emissions, const py::object& transitions, const py::object& offsets,
               const py::object& start, const py::object& end, const py::object& out_,
               const py::object& workspace_, int threads, std::uintptr_t stream) {
  const Inputs in = check_inputs(emissions, py::none(), transitions, offsets, start, end);
  const Tensor out = in.output(out_, "out", {in.tokens(), in.tags()}, "[N, K]");
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    const Params<T> params = in.params<T>();
    if (in.emissions.is_cuda) {
      require_cuda_build("crf_marginals");
#if defined(BIONER_WITH_CUDA)
      check_cuda(crf::marginals_cuda(params, cuda_workspace(in, workspace_, Task::kMarginals),
                                     reinterpret_cast<void*>(stream), out.as<T>()),
                 "crf_marginals");
#endif
    } else {
      on_cpu(params, Task::kMarginals, threads, [&](const CpuPlan& plan, void* workspace) {
        crf::marginals_cpu(params, plan, workspace, threads, out.as<T>());
      });
    }
  });
  static_cast<void>(workspace_);
  static_cast<void>(stream);
}

// Indices of spans, sorted by sentence; ValueError names the first span that is no part of its sentence.
struct SpanOrder {
  std::vector<std::int64_t> by_sentence, first_span;

  SpanOrder(const Tensor& spans, const Tensor& offsets, std::int64_t sentences)
      : by_sentence(static_cast<std::size_t>(spans.shape[0])),
        first_span(static_cast<std::size_t>(sentences) + 1, 0) {
    const std::int64_t* const data = spans.as<const std::int64_t>();
    const std::int64_t* const bounds = offsets.as<const std::int64_t>();
    for (std::int64_t s = 0; s < spans.shape[0]; ++s) {
      const std::int64_t b = data[3 * s];
      const bool good = b >= 0 && b < sentences && data[3 * s + 1] >= bounds[b] &&
                        data[3 * s + 1] < data[3 * s + 2] && data[3 * s + 2] <= bounds[b + 1];
      if (!good) {
        throw py::value_error(
            "`spans` must hold rows (sentence, start, end) with start < end inside that sentence, as " +
            std::string("indices of the batch's tokens; row ") + std::to_string(s) + " is (" +
            std::to_string(b) + ", " + std::to_string(data[3 * s + 1]) + ", " +
            std::to_string(data[3 * s + 2]) + ")");
      }
      ++first_span[static_cast<std::size_t>(b) + 1];
    }
    for (std::size_t b = 1; b < first_span.size(); ++b) first_span[b] += first_span[b - 1];
    std::vector<std::int64_t> next(first_span);
    for (std::int64_t s = 0; s < spans.shape[0]; ++s) {
      by_sentence[static_cast<std::size_t>(next[static_cast<std::size_t>(data[3 * s])]++)] = s;
    }
  }
};

void span_marginals(const py::object& emissions, const py::object& gold, const py::object& transitions,
                    const py::object& offsets, const py::object& start, const py::object& end,
                    const py::object& spans_, const py::object& out_, int threads, std::uintptr_t) {
  const Inputs in = check_inputs(emissions, gold, transitions, offsets, start, end);
  if (in.emissions.is_cuda) throw py::value_error("`emissions` must be on the CPU");
  const Tensor spans = Tensor::from(spans_, "spans");
  spans.require_dtype({DType::kInt64}).require_shape({-1, 3}, "[M, 3]").require_device_of(in.emissions);
  const Tensor out = in.output(out_, "out", {spans.shape[0]}, "[M]");
  const SpanOrder order(spans, in.offsets, in.sentences());
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    const Params<T> params = in.params<T>();
    on_cpu(params, Task::kSpans, threads, [&](const CpuPlan& plan, void* workspace) {
      crf::span_marginals_cpu(params, plan, workspace, threads, spans.as<const std::int64_t>(),
                              order.by_sentence.data(), order.first_span.data(), out.as<T>());
    });
  });
}

// Scores on the CPU, and a direction among them: each None or of the shape of its scores.
struct Along {
  Tensor emissions, transitions, start, end;

  Along(const Inputs& in, const py::sequence& parts) {
    if (in.emissions.is_cuda) throw py::value_error("`emissions` must be on the CPU");
    if (parts.size() != 4) throw py::value_error("a direction has four parts");
    const std::int64_t k = in.tags();
    emissions = in.output(parts[0], "along emissions", {in.tokens(), k}, "[N, K]");
    transitions = in.output(parts[1], "along transitions", {k, k}, "[K, K]");
    start = in.output(parts[2], "along start", {k}, "[K]");
    end = in.output(parts[3], "along end", {k}, "[K]");
  }

  template <typename T>
  crf::Direction<T> direction() const {
    const auto data = [](const Tensor& part) { return part.present() ? part.as<const T>() : nullptr; };
    return {data(emissions), data(transitions), data(start), data(end)};
  }
};

void tangent(const py::object& emissions, const py::object& gold, const py::object& transitions,
             const py::object& offsets, const py::object& start, const py::object& end,
             const py::sequence& along_, const py::object& out_, int threads) {
  const Inputs in = check_inputs(emissions, gold, transitions, offsets, start, end);
  const Along along(in, along_);
  const Tensor out = in.output(out_, "out", {in.sentences()}, "[B]");
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    py::gil_scoped_release release;
    crf::tangent_cpu(in.params<T>(), along.direction<T>(), threads, out.as<T>());
  });
}

void curvature(const py::object& upstream_, const py::object& emissions, const py::object& gold,
               const py::object& transitions, const py::object& offsets, const py::object& start,
               const py::object& end, const py::sequence& along_, const py::object& d_emissions_,
               const py::object& d_transitions_, const py::object& d_start_, const py::object& d_end_,
               int threads) {
  const Inputs in = check_inputs(emissions, gold, transitions, offsets, start, end);
  const Along along(in, along_);
  const std::int64_t k = in.tags();
  const Tensor upstream = in.output(upstream_, "upstream", {in.sentences()}, "[B]");
  const Tensor d_emissions = in.output(d_emissions_, "d_emissions", {in.tokens(), k}, "[N, K]");
  const Tensor d_transitions = in.output(d_transitions_, "d_transitions", {k, k}, "[K, K]");
  const Tensor d_start = in.output(d_start_, "d_start", {k}, "[K]");
  const Tensor d_end = in.output(d_end_, "d_end", {k}, "[K]");
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    py::gil_scoped_release release;
    crf::curvature_cpu(
        in.params<T>(), along.direction<T>(), threads,
        {upstream.as<const T>(), d_emissions.as<T>(), d_transitions.as<T>(), d_start.as<T>(), d_end.as<T>()});
  });
}

void bend(const py::object& emissions, const py::object& gold, const py::object& transitions,
          const py::object& offsets, const py::object& start, const py::object& end,
          const py::sequence& along_, const py::sequence& other_, const py::object& out_, int threads) {
  const Inputs in = check_inputs(emissions, gold, transitions, offsets, start, end);
  const Along along(in, along_);
  const Along other(in, other_);
  const Tensor out = in.output(out_, "out", {in.sentences()}, "[B]");
  with_dtype(in, [&](auto zero) {
    using T = decltype(zero);
    py::gil_scoped_release release;
    crf::bend_cpu(in.params<T>(), along.direction<T>(), other.direction<T>(), threads, out.as<T>());
  });
}

}  // namespace

void register_crf(py::module_& module) {
  module.def("crf_log_likelihood", &log_likelihood, py::arg("emissions"), py::arg("tags"),
             py::arg("transitions"), py::arg("offsets"), py::arg("start").none(true),
             py::arg("end").none(true), py::arg("out"), py::arg("threads"), py::arg("stream"),
             "See bioner_fast.ops.crf_log_likelihood.");
  module.def("crf_gradients", &gradients, py::arg("upstream"), py::arg("emissions"), py::arg("tags"),
             py::arg("transitions"), py::arg("offsets"), py::arg("start").none(true),
             py::arg("end").none(true), py::arg("d_emissions"), py::arg("d_transitions").none(true),
             py::arg("d_start").none(true), py::arg("d_end").none(true), py::arg("workspace").none(true),
             py::arg("threads"), py::arg("stream"), "The backward of crf_log_likelihood.");
  module.def("crf_marginals", &marginals, py::arg("emissions"), py::arg("transitions"), py::arg("offsets"),
             py::arg("start").none(true), py::arg("end").none(true), py::arg("out"),
             py::arg("workspace").none(true), py::arg("threads"), py::arg("stream"),
             "See bioner_fast.ops.crf_marginals.");
  module.def("crf_span_marginals", &span_marginals, py::arg("emissions"), py::arg("tags"),
             py::arg("transitions"), py::arg("offsets"), py::arg("start").none(true),
             py::arg("end").none(true), py::arg("spans"), py::arg("out"), py::arg("threads"),
             py::arg("stream"), "See bioner_fast.ops.span_marginals.");
  module.def("crf_tangent", &tangent, py::arg("emissions"), py::arg("tags"), py::arg("transitions"),
             py::arg("offsets"), py::arg("start").none(true), py::arg("end").none(true), py::arg("along"),
             py::arg("out"), py::arg("threads"), "The derivative of crf_log_likelihood along a direction.");
  module.def("crf_curvature", &curvature, py::arg("upstream"), py::arg("emissions"),
             py::arg("tags").none(true), py::arg("transitions"), py::arg("offsets"),
             py::arg("start").none(true), py::arg("end").none(true), py::arg("along"), py::arg("d_emissions"),
             py::arg("d_transitions"), py::arg("d_start"), py::arg("d_end"), py::arg("threads"),
             "The derivative of crf_gradients along a direction.");
  module.def("crf_bend", &bend, py::arg("emissions"), py::arg("tags").none(true), py::arg("transitions"),
             py::arg("offsets"), py::arg("start").none(true), py::arg("end").none(true), py::arg("along"),
             py::arg("other"), py::arg("out"), py::arg("threads"),
             "The second derivative of crf_log_likelihood along two directions.");
#if defined(BIONER_WITH_CUDA)
  module.def("crf_cuda_workspace_bytes",
             [](std::int64_t tokens, std::int64_t sentences, int tags, bool gradients_task) {
               return crf::cuda_workspace_bytes(tokens, sentences, tags,
                                                gradients_task ? Task::kGradients : Task::kMarginals);
             });
#endif
}

}  // namespace bioner::bindings
