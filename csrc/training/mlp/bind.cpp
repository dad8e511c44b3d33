// Binding of an MLP's step: checks, then the step without the GIL. CPU only.
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "base/bindings/product.h"
#include "training/dense/dense.h"
#include "training/mlp/mlp.h"

namespace bioner::bindings {
namespace {

void require_id(const char* name, std::int64_t id, std::int64_t limit, std::int64_t position) {
  if (id >= 0 && id < limit) return;
  throw py::value_error("`" + std::string(name) + "` must lie in [0, " + std::to_string(limit) + "), got " +
                        std::to_string(id) + " at position " + std::to_string(position));
}

// Ids of some places of a text.
std::vector<std::int64_t> ids_at(const std::vector<std::int64_t>& places, const Tensor& ids, const char* name,
                                 std::int64_t limit) {
  std::vector<std::int64_t> found;
  found.reserve(places.size());
  for (const std::int64_t place : places) {
    found.push_back(ids.as<const std::int64_t>()[place]);
    require_id(name, found.back(), limit, place);
  }
  return found;
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
  if (!dense::available())
    throw py::value_error("an MLP's step in one call needs a processor with AMX or AVX512-BF16");
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
    if (op.cap_classes < 1 || op.caps < 1) throw py::value_error("`cap_table` must not be empty");
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
  for (std::int64_t n = 0; n < op.tokens; ++n) {
    require_id("starts", starts.as<const std::int64_t>()[n], word_ids.shape[0] - window + 1, n);
  }
  const mlp::Places read = mlp::places(starts.as<const std::int64_t>(), op.tokens, window);
  const auto words = ids_at(read.places, word_ids, "word_ids", word_table.shape[0]);
  const auto caps = op.caps > 0 ? ids_at(read.places, cap_ids, "cap_ids", op.cap_classes) : words;
  op.rows = static_cast<std::int64_t>(words.size());
  op.starts = read.starts.data();
  op.word_ids = words.data();
  op.cap_ids = caps.data();
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
