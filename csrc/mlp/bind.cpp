// Binding of an MLP's step: checks, then the step without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "bindings/product.h"
#include "dense/dense.h"
#include "mlp/mlp.h"

namespace bioner::bindings {
namespace {

// The rows that windows of a text read, those of overlapping windows once.
struct Windows {
  std::vector<std::int64_t> starts;  // of each token's window in `rows`
  std::vector<std::int64_t> words;
  std::vector<std::int64_t> caps;
};

void require_id(const char* name, std::int64_t id, std::int64_t limit, std::int64_t position) {
  if (id >= 0 && id < limit) return;
  throw py::value_error("`" + std::string(name) + "` must lie in [0, " + std::to_string(limit) + "), got " +
                        std::to_string(id) + " at position " + std::to_string(position));
}

Windows gather(const Tensor& word_ids, const Tensor& cap_ids, const Tensor& starts, std::int64_t window,
               std::int64_t words, std::int64_t caps) {
  const std::int64_t length = word_ids.shape[0];
  const auto* const from = starts.as<const std::int64_t>();
  const auto* const word = word_ids.as<const std::int64_t>();
  const auto* const cap = cap_ids.as<const std::int64_t>();
  Windows made;
  made.starts.reserve(static_cast<std::size_t>(starts.shape[0]));
  std::int64_t rows = 0;
  for (std::int64_t n = 0; n < starts.shape[0]; ++n) {
    require_id("starts", from[n], length - window + 1, n);
    const std::int64_t step = n == 0 ? window : from[n] - from[n - 1];
    const std::int64_t added = step >= 1 && step < window ? step : window;
    for (std::int64_t at = from[n] + window - added; at < from[n] + window; ++at) {
      require_id("word_ids", word[at], words, at);
      made.words.push_back(word[at]);
      if (caps == 0) continue;
      require_id("cap_ids", cap[at], caps, at);
      made.caps.push_back(cap[at]);
    }
    rows += added;
    made.starts.push_back(rows - window);
  }
  return made;
}

void require_floats(const Tensor& tensor, std::initializer_list<std::int64_t> shape, const char* meaning) {
  require_like(tensor, DType::kFloat32, shape, meaning);
}

double mlp_sgd(const py::object& word_table_object, const py::object& cap_table_object,
               const py::object& weights_object, const py::object& low_object, const py::object& bias_object,
               const py::object& head_weights_object, const py::object& head_bias_object,
               const py::object& word_ids_object, const py::object& cap_ids_object,
               const py::object& starts_object, const py::object& gold_object, std::int64_t window,
               std::int64_t size, double least, double most, std::uint64_t seed, double share, double rate,
               double word_rate, int threads, std::uintptr_t /*stream*/) {
  if (!dense::available()) throw py::value_error("an MLP's step in one call needs a processor with AMX");
  const Tensor word_table = Tensor::from(word_table_object, "word_table");
  const Tensor cap_table = Tensor::optional(cap_table_object, "cap_table");
  const Tensor weights = Tensor::from(weights_object, "weights");
  const Tensor low = Tensor::from(low_object, "low");
  const Tensor bias = Tensor::from(bias_object, "bias");
  const Tensor head_weights = Tensor::from(head_weights_object, "head_weights");
  const Tensor head_bias = Tensor::from(head_bias_object, "head_bias");
  const Tensor word_ids = Tensor::from(word_ids_object, "word_ids");
  const Tensor cap_ids = Tensor::from(cap_ids_object, "cap_ids");
  const Tensor starts = Tensor::from(starts_object, "starts");
  const Tensor gold = Tensor::from(gold_object, "gold");
  if (window < 1) throw py::value_error("`window` must be positive");
  if (size < 1) throw py::value_error("`size` must be positive");
  require_floats(word_table, {-1, -1}, "[V, D]");
  require_floats(weights, {-1, -1}, "[H, window * (D + E)]");
  require_floats(head_weights, {-1, -1}, "[K, H]");
  mlp::Step op{};
  if (cap_table.present()) {
    require_floats(cap_table, {-1, -1}, "[C, E]");
    op.cap_classes = cap_table.shape[0];
    op.caps = cap_table.shape[1];
    op.cap_table = cap_table.as<float>();
  }
  op.words = word_table.shape[1];
  op.hidden = weights.shape[0];
  op.tags = head_weights.shape[0];
  op.window = window;
  const std::int64_t inputs = window * (op.words + op.caps);
  if (op.words < 1 || op.hidden < 1 || op.tags < 1) {
    throw py::value_error("`word_table`, `weights` and `head_weights` must not be empty");
  }
  require_floats(weights, {op.hidden, inputs}, "[H, window * (D + E)]");
  require_floats(head_weights, {op.tags, op.hidden}, "[K, H]");
  require_floats(bias, {op.hidden}, "[H]");
  require_floats(head_bias, {op.tags}, "[K]");
  require_like(low, DType::kBFloat16, {dense::blocks_values(op.hidden, inputs)},
               "[depths(H) * depths(window * (D + E)) * 1024]");
  require_like(word_ids, DType::kInt64, {-1}, "[M]");
  require_like(cap_ids, DType::kInt64, {word_ids.shape[0]}, "[M]");
  require_like(starts, DType::kInt64, {-1}, "[N]");
  op.tokens = starts.shape[0];
  if (op.tokens < 1) throw py::value_error("`starts` must not be empty");
  require_like(gold, DType::kInt64, {op.tokens}, "[N]");
  check_ids(gold, op.tags);
  const Windows windows = gather(word_ids, cap_ids, starts, window, word_table.shape[0], op.cap_classes);
  op.rows = static_cast<std::int64_t>(windows.words.size());
  op.starts = windows.starts.data();
  op.word_ids = windows.words.data();
  op.cap_ids = windows.caps.data();
  op.gold = gold.as<const std::int64_t>();
  op.word_table = word_table.as<float>();
  op.weights = weights.as<float>();
  op.low = low.as<BFloat16>();
  op.bias = bias.as<float>();
  op.head_weights = head_weights.as<float>();
  op.head_bias = head_bias.as<float>();
  op.drop = drop_of(seed, share);
  op.factor = 1.0 / static_cast<double>(size);
  op.least = least;
  op.most = most;
  op.rate = rate;
  op.word_rate = word_rate;
  const simd::Level level = simd::active();
  const py::gil_scoped_release release;
  return mlp::step(op, level, threads);
}

}  // namespace

void register_mlp(py::module_& module) {
  using py::arg;
  module.def("mlp_sgd", &mlp_sgd, arg("word_table"), arg("cap_table").none(true), arg("weights"), arg("low"),
             arg("bias"), arg("head_weights"), arg("head_bias"), arg("word_ids"), arg("cap_ids"),
             arg("starts"), arg("gold"), arg("window"), arg("size"), arg("least"), arg("most"), arg("seed"),
             arg("share"), arg("rate"), arg("word_rate"), arg("threads"), arg("stream"));
}

}  // namespace bioner::bindings
