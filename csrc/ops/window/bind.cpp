// Bindings of window_gather and embedding_window: checks, then the kernel without the GIL.
#include <pybind11/pybind11.h>

#include "base/bindings/tensor.h"
#include "ops/window/window.h"

namespace bioner::bindings {
namespace {

using window::kKeysPerBlock;

constexpr std::int64_t kMaxWindow = 1001;
constexpr std::int64_t kMaxRows = std::int64_t{1} << 31;  // ids and tokens share a 64-bit key

Scalar scalar_of(const Tensor& tensor) {
  tensor.require_dtype({DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64});
  switch (tensor.dtype) {
    case DType::kFloat16:
      return Scalar::kFloat16;
    case DType::kBFloat16:
      return Scalar::kBFloat16;
    case DType::kFloat32:
      return Scalar::kFloat32;
    default:
      return Scalar::kFloat64;
  }
}

DType accumulator_of(Scalar scalar) { return scalar == Scalar::kFloat64 ? DType::kFloat64 : DType::kFloat32; }

int checked_window(std::int64_t size) {
  if (size < 1 || size % 2 == 0 || size > kMaxWindow) {
    throw py::value_error("`window` must be odd and between 1 and 1001, got " + std::to_string(size));
  }
  return static_cast<int>(size);
}

// The contents are checked on the CPU; on CUDA that would synchronise.
PackedOffsets checked_sentences(const Tensor& offsets, const Tensor& like, std::int64_t tokens) {
  offsets.require_dtype({DType::kInt64}).require_rank(1).require_device_of(like);
  if (offsets.shape[0] < 1) throw py::value_error("`offsets` must have at least one element, got shape [0]");
  if (!offsets.is_cuda) check_offsets(offsets, tokens);
  return {offsets.as<const std::int64_t>(), offsets.shape[0] - 1, tokens};
}

void require_same_dtype(const Tensor& tensor, const Tensor& other) {
  if (tensor.dtype == other.dtype) return;
  throw py::type_error("`" + tensor.name + "` must have the dtype of `" + other.name + "` (" +
                       dtype_name(other.dtype) + "), got " + dtype_name(tensor.dtype));
}

std::int64_t item_bytes(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    default:
      return 2;
  }
}

void run_gather(const window::Gather& op, bool on_cuda, const char* name, int threads,
                [[maybe_unused]] std::uintptr_t stream) {
  if (on_cuda) {
    require_cuda_build(name);
#if defined(BIONER_WITH_CUDA)
    check_cuda(window::cuda::gather(op, reinterpret_cast<void*>(stream)), name);
#endif
    return;
  }
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  window::gather(op, level, threads);
}

// values [N, D] or [N]; padding [D], one element, or None; out [N, window * D].
void window_gather(const py::object& values_object, const py::object& offsets_object,
                   std::int64_t window_size, const py::object& padding_object, const py::object& out_object,
                   int threads, [[maybe_unused]] std::uintptr_t stream) {
  const Tensor values = Tensor::from(values_object, "values");
  const Tensor offsets = Tensor::from(offsets_object, "offsets");
  const Tensor padding = Tensor::optional(padding_object, "padding");
  const Tensor out = Tensor::from(out_object, "out");
  values.require_dtype(
      {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64});
  const bool are_ids = values.dtype == DType::kInt32 || values.dtype == DType::kInt64;
  values.require_rank(are_ids ? 1 : 2);
  const int size = checked_window(window_size);
  const std::int64_t tokens = values.shape[0];
  const std::int64_t width = are_ids ? 1 : values.shape[1];
  const PackedOffsets sentences = checked_sentences(offsets, values, tokens);
  if (padding.present()) {
    require_same_dtype(padding, values);
    padding.require_device_of(values).require_shape({width}, are_ids ? "[1]" : "[D]");
  }
  require_same_dtype(out, values);
  out.require_device_of(values).require_shape({tokens, size * width}, "[N, window * D]");
  if (tokens == 0 || width == 0) return;
  const window::Gather op{sentences, size,   width * item_bytes(values.dtype),           values.data, nullptr,
                          false,     tokens, padding.present() ? padding.data : nullptr, out.data};
  run_gather(op, values.is_cuda, "window_gather", threads, stream);
}

// weight [V, D]; ids [N]; out [N, window * D].
void embedding_window(const py::object& weight_object, const py::object& ids_object,
                      const py::object& offsets_object, std::int64_t window_size, std::int64_t padding_idx,
                      const py::object& out_object, int threads, [[maybe_unused]] std::uintptr_t stream) {
  const Tensor weight = Tensor::from(weight_object, "weight");
  const Tensor ids = Tensor::from(ids_object, "ids");
  const Tensor offsets = Tensor::from(offsets_object, "offsets");
  const Tensor out = Tensor::from(out_object, "out");
  scalar_of(weight);
  weight.require_rank(2);
  ids.require_dtype({DType::kInt32, DType::kInt64}).require_rank(1).require_device_of(weight);
  const int size = checked_window(window_size);
  const std::int64_t tokens = ids.shape[0];
  const std::int64_t width = weight.shape[1];
  const std::int64_t limit = weight.shape[0];
  const PackedOffsets sentences = checked_sentences(offsets, weight, tokens);
  if (padding_idx < 0 || padding_idx >= limit) {
    throw py::value_error("`padding_idx` must lie in [0, " + std::to_string(limit) + "), got " +
                          std::to_string(padding_idx));
  }
  if (!ids.is_cuda) check_ids(ids, limit);
  require_same_dtype(out, weight);
  out.require_device_of(weight).require_shape({tokens, size * width}, "[N, window * D]");
  if (tokens == 0 || width == 0) return;
  const std::int64_t row_bytes = width * item_bytes(weight.dtype);
  const window::Gather op{sentences, size,
                          row_bytes, weight.data,
                          ids.data,  ids.dtype == DType::kInt64,
                          limit,     static_cast<const char*>(weight.data) + padding_idx * row_bytes,
                          out.data};
  run_gather(op, weight.is_cuda, "embedding_window", threads, stream);
}

// grad [N, window * D]; out [N, D].
void window_grad_values(const py::object& grad_object, const py::object& offsets_object,
                        std::int64_t window_size, const py::object& out_object, int threads,
                        [[maybe_unused]] std::uintptr_t stream) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor offsets = Tensor::from(offsets_object, "offsets");
  const Tensor out = Tensor::from(out_object, "out");
  const Scalar scalar = scalar_of(grad);
  const int size = checked_window(window_size);
  require_same_dtype(out, grad);
  out.require_rank(2).require_device_of(grad);
  const std::int64_t tokens = out.shape[0];
  const std::int64_t width = out.shape[1];
  grad.require_shape({tokens, size * width}, "[N, window * D]");
  const PackedOffsets sentences = checked_sentences(offsets, grad, tokens);
  if (tokens == 0 || width == 0) return;
  const window::GradValues op{sentences, size, width, scalar, grad.data, out.data};
  if (grad.is_cuda) {
    require_cuda_build("window_gather");
#if defined(BIONER_WITH_CUDA)
    check_cuda(window::cuda::grad_values(op, reinterpret_cast<void*>(stream)), "window_gather");
#endif
    return;
  }
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  window::grad_values(op, level, threads);
}

// grad [N, window * D]; workspace [blocks, D] accumulators; out [D] in grad's dtype or in that of
// accumulators.
void window_grad_padding(const py::object& grad_object, const py::object& offsets_object,
                         std::int64_t window_size, const py::object& workspace_object,
                         const py::object& out_object, int threads, [[maybe_unused]] std::uintptr_t stream) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor offsets = Tensor::from(offsets_object, "offsets");
  const Tensor workspace = Tensor::from(workspace_object, "workspace");
  const Tensor out = Tensor::from(out_object, "out");
  const Scalar scalar = scalar_of(grad);
  const int size = checked_window(window_size);
  grad.require_rank(2);
  out.require_rank(1).require_device_of(grad);
  const std::int64_t tokens = grad.shape[0];
  const std::int64_t width = out.shape[0];
  grad.require_shape({tokens, size * width}, "[N, window * D]");
  const PackedOffsets sentences = checked_sentences(offsets, grad, tokens);
  workspace.require_dtype({accumulator_of(scalar)}).require_device_of(grad);
  workspace.require_shape({window::block_count(tokens), width}, "[blocks, D]");
  const bool as_accumulators = out.dtype != grad.dtype;
  if (as_accumulators) out.require_dtype({accumulator_of(scalar)});
  if (width == 0) return;
  const window::GradPadding op{sentences, size, width, scalar, grad.data, workspace.data, out.data};
  if (grad.is_cuda) {
    require_cuda_build("window_gather");
#if defined(BIONER_WITH_CUDA)
    check_cuda(window::cuda::grad_padding(op, as_accumulators, reinterpret_cast<void*>(stream)),
               "window_gather");
#endif
    return;
  }
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  window::grad_padding(op, as_accumulators, level, threads);
}

// Sorts ids [N] into keys int64 [N], with scratch [N]. Returns (rows of a sparse gradient, whether
// padding_idx is no id, runs).
py::tuple embedding_sort(const py::object& ids_object, std::int64_t limit, std::int64_t padding_idx,
                         std::int64_t window_size, const py::object& keys_object,
                         const py::object& scratch_object) {
  const Tensor ids = Tensor::from(ids_object, "ids");
  const Tensor keys = Tensor::from(keys_object, "keys");
  const Tensor scratch = Tensor::from(scratch_object, "scratch");
  ids.require_dtype({DType::kInt32, DType::kInt64}).require_rank(1);
  const std::int64_t tokens = ids.shape[0];
  for (const Tensor* tensor : {&keys, &scratch}) {
    tensor->require_dtype({DType::kInt64}).require_shape({tokens}, "[N]");
  }
  for (const Tensor* tensor : {&ids, &keys, &scratch}) {
    if (tensor->is_cuda) throw py::value_error("`" + tensor->name + "` must be on the CPU");
  }
  if (limit >= kMaxRows || tokens >= kMaxRows) {
    throw py::value_error("`weight` and `ids` must have fewer than 2^31 rows to take a gradient");
  }
  checked_window(window_size);
  check_ids(ids, limit);
  const py::gil_scoped_release release;
  auto* sorted = keys.as<std::uint64_t>();
  window::sort_keys(ids.data, ids.dtype == DType::kInt64, tokens, limit, sorted, scratch.as<std::uint64_t>());
  const bool has_padding = tokens > 0 && window_size > 1;
  const std::int64_t plain = window::unique_rows(sorted, tokens, padding_idx, false, nullptr);
  const std::int64_t with = window::unique_rows(sorted, tokens, padding_idx, has_padding, nullptr);
  const std::int64_t runs = window::run_count(sorted, tokens);
  const py::gil_scoped_acquire acquire;
  return py::make_tuple(with, with > plain, runs);
}

// The gradient of `weight`, from keys that embedding_sort made (on CUDA: torch.sort). `rows` is None for a
// dense gradient out [V, D]; else it gets the rows, and out is [rows, D]. CPU only: run_rows, run_blocks and
// run_tokens are memory for window::Runs.
void embedding_grad_weight(const py::object& grad_object, const py::object& keys_object,
                           const py::object& offsets_object, std::int64_t window_size, std::int64_t limit,
                           std::int64_t padding_idx, bool padding_is_apart,
                           const py::object& padding_sum_object, const py::object& workspace_object,
                           const py::object& run_rows_object, const py::object& run_blocks_object,
                           const py::object& run_tokens_object, const py::object& rows_object,
                           const py::object& out_object, int threads,
                           [[maybe_unused]] std::uintptr_t stream) {
  const Tensor grad = Tensor::from(grad_object, "grad");
  const Tensor keys = Tensor::from(keys_object, "keys");
  const Tensor offsets = Tensor::from(offsets_object, "offsets");
  const Tensor padding_sum = Tensor::optional(padding_sum_object, "padding_sum");
  const Tensor workspace = Tensor::from(workspace_object, "workspace");
  const Tensor run_rows = Tensor::optional(run_rows_object, "run_rows");
  const Tensor run_blocks = Tensor::optional(run_blocks_object, "run_blocks");
  const Tensor run_tokens = Tensor::optional(run_tokens_object, "run_tokens");
  const Tensor rows = Tensor::optional(rows_object, "rows");
  const Tensor out = Tensor::from(out_object, "out");
  const Scalar scalar = scalar_of(grad);
  const int size = checked_window(window_size);
  require_same_dtype(out, grad);
  out.require_rank(2).require_device_of(grad);
  keys.require_dtype({DType::kInt64}).require_rank(1).require_device_of(grad);
  const std::int64_t tokens = keys.shape[0];
  const std::int64_t width = out.shape[1];
  grad.require_shape({tokens, size * width}, "[N, window * D]");
  const PackedOffsets sentences = checked_sentences(offsets, grad, tokens);
  if (padding_sum.present()) {
    padding_sum.require_dtype({accumulator_of(scalar)}).require_shape({width}, "[D]").require_device_of(grad);
  }
  workspace.require_dtype({accumulator_of(scalar)}).require_device_of(grad);
  const auto* sorted = keys.as<const std::uint64_t>();
  const std::int64_t blocks = window::key_block_count(tokens);
  if (grad.is_cuda) {
    workspace.require_shape({blocks, 3, width}, "[blocks, 3, D]");
  } else {
    // Keys come from embedding_sort, but nothing stops another caller: writing by them must stay inside
    // `out`.
    for (std::int64_t i = 0; i < tokens; ++i) {
      const bool good = static_cast<std::int64_t>(sorted[i] >> 32) < limit &&
                        static_cast<std::int64_t>(sorted[i] & 0xFFFFFFFFU) < tokens &&
                        (i == 0 || sorted[i - 1] < sorted[i]);
      if (!good) throw py::value_error("`keys` must come from embedding_sort");
    }
    const std::int64_t runs = window::run_count(sorted, tokens);
    if (accumulator_of(scalar) == grad.dtype) {
      workspace.require_shape({blocks, width}, "[blocks, D]");
    } else {
      workspace.require_shape({runs, width}, "[runs, D]");
    }
    for (const Tensor* scratch : {&run_rows, &run_blocks, &run_tokens}) {
      if (!scratch->present()) throw py::value_error("`" + scratch->name + "` must be given on the CPU");
      scratch->require_device_of(grad);
    }
    run_rows.require_dtype({DType::kInt64}).require_shape({runs}, "[runs]");
    run_blocks.require_dtype({DType::kInt64}).require_shape({blocks + 1}, "[blocks + 1]");
    run_tokens.require_dtype({DType::kInt32}).require_shape({tokens}, "[N]");
  }
  if (!grad.is_cuda && padding_sum.present()) {  // else a row too many would be written
    const bool is_apart = window::unique_rows(sorted, tokens, padding_idx, true, nullptr) >
                          window::unique_rows(sorted, tokens, padding_idx, false, nullptr);
    if (padding_is_apart != is_apart) {
      throw py::value_error("`padding_is_apart` must say whether `padding_idx` is none of `keys`");
    }
  }
  if (rows.present()) {
    if (grad.is_cuda) throw py::value_error("`rows` must be None on CUDA");
    rows.require_dtype({DType::kInt64}).require_rank(1).require_device_of(grad);
    const std::int64_t count =
        window::unique_rows(sorted, tokens, padding_idx, padding_sum.present() && padding_is_apart, nullptr);
    rows.require_shape({count}, "[rows]");
    out.require_shape({count, width}, "[rows, D]");
    window::unique_rows(sorted, tokens, padding_idx, padding_sum.present() && padding_is_apart,
                        rows.as<std::int64_t>());
  } else {
    out.require_shape({limit, width}, "[V, D]");
  }
  if (padding_idx < 0 || padding_idx >= limit) {
    throw py::value_error("`padding_idx` must lie in [0, " + std::to_string(limit) + "), got " +
                          std::to_string(padding_idx));
  }
  if (width == 0) return;
  const window::GradWeight op{
      sentences,        size,           width,       scalar,
      grad.data,        sorted,         padding_idx, padding_sum.present() ? padding_sum.data : nullptr,
      padding_is_apart, workspace.data, limit,       out.data};
  if (grad.is_cuda) {
    require_cuda_build("embedding_window");
#if defined(BIONER_WITH_CUDA)
    check_cuda(window::cuda::grad_weight(op, reinterpret_cast<void*>(stream)), "embedding_window");
#endif
    return;
  }
  const simd::Level level = simd::active();
  const window::Runs runs{rows.present(), run_rows.as<std::int64_t>(), run_blocks.as<std::int64_t>(),
                          run_tokens.as<std::uint32_t>()};
  const py::gil_scoped_release release;
  window::grad_weight(op, runs, level, threads);
}

}  // namespace

void register_window(py::module_& module) {
  using py::arg;
  module.attr("window_tokens_per_block") = window::kTokensPerBlock;
  module.attr("window_keys_per_block") = kKeysPerBlock;
  module.def("window_gather", &window_gather, arg("values"), arg("offsets"), arg("window"),
             arg("padding").none(true), arg("out"), arg("threads"), arg("stream"));
  module.def("embedding_window", &embedding_window, arg("weight"), arg("ids"), arg("offsets"), arg("window"),
             arg("padding_idx"), arg("out"), arg("threads"), arg("stream"));
  module.def("window_grad_values", &window_grad_values, arg("grad"), arg("offsets"), arg("window"),
             arg("out"), arg("threads"), arg("stream"));
  module.def("window_grad_padding", &window_grad_padding, arg("grad"), arg("offsets"), arg("window"),
             arg("workspace"), arg("out"), arg("threads"), arg("stream"));
  module.def("embedding_sort", &embedding_sort, arg("ids"), arg("limit"), arg("padding_idx"), arg("window"),
             arg("keys"), arg("scratch"));
  module.def("embedding_grad_weight", &embedding_grad_weight, arg("grad"), arg("keys"), arg("offsets"),
             arg("window"), arg("limit"), arg("padding_idx"), arg("padding_is_apart"),
             arg("padding_sum").none(true), arg("workspace"), arg("run_rows").none(true),
             arg("run_blocks").none(true), arg("run_tokens").none(true), arg("rows").none(true), arg("out"),
             arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
