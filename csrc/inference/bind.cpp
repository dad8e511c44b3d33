// Bindings of infer_linear and infer_table_sum: unpack, check, release the GIL, call. Buffers of values come
// as uint8 views; ops/infer.py packs them.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/bindings/tensor.h"
#include "inference/infer.h"

namespace bioner::bindings {

namespace {

using infer::Characters;
using infer::Epilogue;
using infer::Finish;
using infer::Linear;
using infer::TableSum;
using infer::Type;

// Views of everything that a call uses; they keep the memory until it is over.
using Views = std::vector<Tensor>;

void require(bool good, const std::string& message) {
  if (!good) throw py::value_error(message);
}

// The code runs on the CPU only, whatever lies elsewhere.
Tensor on_cpu(Tensor view) {
  require(!view.is_cuda, "`" + view.name + "` must be on the CPU");
  return view;
}

// A tensor of `dtype` with at least `least` elements, or null for None.
template <typename T>
T* pointer(Views& views, const py::handle& object, const char* name, DType dtype, std::int64_t least) {
  Tensor view = on_cpu(Tensor::optional(object, name));
  if (!view.present()) return nullptr;
  view.require_dtype({dtype});
  require(view.numel() >= least, std::string("`") + name + "` must have at least " + std::to_string(least) +
                                     " elements, got " + std::to_string(view.numel()));
  T* data = view.as<T>();
  views.push_back(std::move(view));
  return data;
}

Type type_of(int type) {
  require(0 <= type && type <= 2, "`type` must be 0, 1 or 2, got " + std::to_string(type));
  return static_cast<Type>(type);
}

// What a result may be stored as.
Type stored_type_of(int type) {
  return type == static_cast<int>(Type::kInt16) ? Type::kInt16 : type_of(type);
}

std::int64_t size_of(Type type) { return type == Type::kFloat32 ? 4 : type == Type::kInt8 ? 1 : 2; }

std::int64_t padded(std::int64_t columns) {
  return (columns + infer::kLanes - 1) / infer::kLanes * infer::kLanes;
}

// Rows that `data` of `shape` [rows, stride] holds.
std::int64_t rows_of(const Tensor& matrix) { return matrix.shape[0]; }

void check_index(const std::int32_t* index, std::int64_t count, std::int64_t rows, const char* name) {
  // Negative ones become large. Every call passes here, so messages wait until one is needed.
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < count; ++i) most = std::max(most, static_cast<std::uint32_t>(index[i]));
  if (count == 0 || most < rows) return;
  for (std::int64_t i = 0; i < count; ++i) {
    require(0 <= index[i] && index[i] < rows, std::string("`") + name + "` must lie in [0, " +
                                                  std::to_string(rows) + "), got " +
                                                  std::to_string(index[i]));
  }
}

Epilogue epilogue_of(Views& views, const py::dict& facts, std::int64_t n, std::int64_t columns) {
  Epilogue e{};
  const int finish = facts["finish"].cast<int>();
  require(0 <= finish && finish <= 4, "`finish` must be 0 to 4, got " + std::to_string(finish));
  e.finish = static_cast<Finish>(finish);
  e.width = e.finish == Finish::kGlu ? columns / 2 : columns;
  require(e.width % infer::kLanes == 0, "`columns` must be padded to multiples of 16");
  e.channels = e.width;
  const bool norm = e.finish == Finish::kNorm || e.finish == Finish::kGlu;
  if (norm) {
    e.channels = facts["channels"].cast<std::int64_t>();
    require(1 <= e.channels && e.channels <= e.width && padded(e.channels) == e.width,
            "`channels` does not fit the columns");
    e.epsilon = facts["epsilon"].cast<float>();
    e.gamma = pointer<float>(views, facts["gamma"], "gamma", DType::kFloat32, e.width);
    e.beta = pointer<float>(views, facts["beta"], "beta", DType::kFloat32, e.width);
    require(e.gamma != nullptr && e.beta != nullptr, "LayerNorm needs `gamma` and `beta`");
  }
  if (e.finish == Finish::kGlu) {
    const Tensor residual = on_cpu(Tensor::from(facts["residual"], "residual"));
    residual.require_dtype({DType::kFloat32}).require_rank(2);
    e.residual = residual.as<float>();
    e.residual_stride = residual.shape[1];
    require(e.residual_stride >= e.width, "`residual` must have as many columns as the result");
    e.residual_rows = pointer<std::int32_t>(views, facts["residual_rows"], "residual_rows", DType::kInt32, n);
    if (e.residual_rows != nullptr) {
      check_index(e.residual_rows, n, rows_of(residual), "residual_rows");
    } else {
      require(rows_of(residual) >= n, "`residual` must have a row for every row of the result");
    }
    views.push_back(residual);
  }
  const Tensor out = on_cpu(Tensor::optional(facts["out"], "out"));
  if (out.present()) {
    out.require_dtype({DType::kFloat32}).require_rank(2);
    e.out = out.as<float>();
    e.out_stride = out.shape[1];
    require(rows_of(out) >= n, "`out` must have a row for every row of the result");
    views.push_back(out);
  }
  if (e.finish == Finish::kLogSoftmax) {
    const Tensor ends = on_cpu(Tensor::from(facts["head_ends"], "head_ends"));
    ends.require_dtype({DType::kInt32}).require_rank(1);
    e.head_ends = ends.as<std::int32_t>();
    e.heads = ends.shape[0];
    std::int32_t last = 0;
    for (std::int64_t h = 0; h < e.heads; ++h) {
      require(e.head_ends[h] > last && e.head_ends[h] <= columns, "`head_ends` must rise up to the columns");
      last = e.head_ends[h];
    }
    require(e.out != nullptr && e.out_stride >= last, "`out` must have as many columns as the heads");
    views.push_back(ends);
    return e;
  }
  require(e.out == nullptr || e.out_stride >= e.width, "`out` must have as many columns as the result");
  e.groups = 1;
  e.group_columns = e.width;
  const Tensor next = on_cpu(Tensor::optional(facts["next"], "next"));
  if (next.present()) {
    next.require_dtype({DType::kUInt8}).require_rank(2);
    require(rows_of(next) >= n, "`next` must have a row for every row of the result");
    e.next = next.as<std::uint8_t>();
    e.next_stride = next.shape[1];
    e.next_type = stored_type_of(facts["next_type"].cast<int>());
    if (e.finish == Finish::kRelu) {
      e.groups = facts["groups"].cast<std::int64_t>();
      e.group_columns = facts["group_columns"].cast<std::int64_t>();
      require(1 <= e.groups && e.groups <= e.width && 1 <= e.group_columns && e.group_columns <= e.width &&
                  padded(e.group_columns) * e.groups == e.width,
              "`groups` and `group_columns` do not fit the columns");
    }
    const std::int64_t used = (e.groups - 1) * e.group_columns + padded(e.group_columns);
    require(e.next_stride >= used * size_of(e.next_type), "`next` has too few columns");
    if (e.next_type == Type::kInt8 || e.next_type == Type::kInt16) {
      e.next_scale = pointer<float>(views, facts["next_scale"], "next_scale", DType::kFloat32, e.width);
      require(e.next_scale != nullptr, "`next_scale` is required for integers");
      e.next_zero = facts["next_zero"].cast<float>();
    }
    views.push_back(next);
  }
  require(e.out != nullptr || e.next != nullptr, "there must be an output: `out` or `next`");
  return e;
}

void infer_linear(int type, const py::object& values_, const py::object& index_,
                  const std::vector<std::int64_t>& lengths, const py::object& weights_,
                  const py::object& bias_, const py::object& scale_, const py::object& shift_,
                  const py::dict& epilogue_, int threads) {
  Views views;
  const Tensor values = on_cpu(Tensor::from(values_, "values"));
  const Tensor index = on_cpu(Tensor::from(index_, "index"));
  const Tensor bias = on_cpu(Tensor::from(bias_, "bias"));
  values.require_dtype({DType::kUInt8}).require_rank(2);
  index.require_dtype({DType::kInt32}).require_rank(2);
  bias.require_dtype({DType::kFloat32}).require_rank(1);
  Linear op{};
  op.type = type_of(type);
  op.values = values.as<std::uint8_t>();
  op.stride = values.shape[1];
  op.index = index.as<std::int32_t>();
  op.lengths = lengths.data();
  op.segments = index.shape[1];
  op.rows = index.shape[0];
  op.columns = bias.shape[0];
  op.bias = bias.as<float>();
  require(static_cast<std::int64_t>(lengths.size()) == op.segments,
          "`lengths` must have an entry per segment");
  std::int64_t groups = 0;
  for (const std::int64_t length : lengths) {
    require(length >= 0 && length % 4 == 0 && length <= op.stride,
            "`lengths` must be multiples of 4 within a row of `values`");
    groups += length / 4;
  }
  require(op.columns >= 1 && op.columns % infer::kLanes == 0, "`bias` must be padded to a multiple of 16");
  op.weights = pointer<std::uint8_t>(views, weights_, "weights", DType::kUInt8, groups * op.columns * 4);
  require(op.weights != nullptr, "`weights` is required");
  op.scale = pointer<float>(views, scale_, "scale", DType::kFloat32, op.columns);
  op.shift = pointer<std::int32_t>(views, shift_, "shift", DType::kInt32, op.columns);
  require(op.type != Type::kInt8 || (op.scale != nullptr && op.shift != nullptr),
          "int8 needs `scale` and `shift`");
  check_index(op.index, op.rows * op.segments, values.shape[0], "index");
  const Epilogue epilogue = epilogue_of(views, epilogue_, op.rows, op.columns);
  py::gil_scoped_release release;
  infer::linear_cpu(op, epilogue, threads);
}

void infer_table_sum(const py::object& table_, bool narrow, const py::object& index_, std::int64_t rows,
                     std::int64_t index_step, const py::object& taps_, const py::object& bias_,
                     const py::object& scale_, const py::dict& epilogue_, int threads) {
  Views views;
  const Tensor table = on_cpu(Tensor::from(table_, "table"));
  const Tensor index = on_cpu(Tensor::from(index_, "index"));
  const Tensor taps = on_cpu(Tensor::from(taps_, "taps"));
  const Tensor bias = on_cpu(Tensor::from(bias_, "bias"));
  table.require_dtype({DType::kUInt8}).require_rank(2);
  index.require_dtype({DType::kInt32}).require_rank(1);
  taps.require_dtype({DType::kInt32}).require_rank(1);
  bias.require_dtype({DType::kFloat32}).require_rank(1);
  TableSum op{};
  op.narrow = narrow;
  op.table = table.data;
  op.stride = table.shape[1] / (narrow ? 2 : 4);
  require(table.shape[1] % (narrow ? 2 : 4) == 0, "`table` must hold whole elements");
  op.index = index.as<std::int32_t>();
  op.index_step = index_step;
  op.rows = rows;
  op.groups = taps.shape[0];
  op.taps = taps.as<std::int32_t>();
  require(op.groups >= 1, "`taps` must have an entry per group");
  require(bias.shape[0] % (op.groups * infer::kLanes) == 0 && bias.shape[0] > 0,
          "`bias` must have whole vectors of 16 per group");
  op.width = bias.shape[0] / op.groups;
  op.bias = bias.as<float>();
  op.scale = pointer<float>(views, scale_, "scale", DType::kFloat32, bias.shape[0]);
  require(!narrow || op.scale != nullptr, "an int16 table needs `scale`");
  std::vector<std::int64_t> first_parts;
  std::int64_t parts = 0;
  std::int32_t most = 0;
  for (std::int64_t g = 0; g < op.groups; ++g) {
    require(op.taps[g] >= 1, "`taps` must be at least 1");
    first_parts.push_back(parts * op.width);
    parts += op.taps[g];
    most = op.taps[g] > most ? op.taps[g] : most;
  }
  op.first_parts = first_parts.data();
  require(parts * op.width <= op.stride, "`table` has too few columns for its taps");
  require(rows >= 0 && index_step >= 1, "`rows` and `index_step` must not be negative");
  // By division: the product may not be an int64.
  require(rows == 0 || (most <= index.shape[0] && rows - 1 <= (index.shape[0] - most) / index_step),
          "`index` is too short");
  check_index(op.index, index.shape[0], table.shape[0], "index");
  const Epilogue epilogue = epilogue_of(views, epilogue_, rows, bias.shape[0]);
  py::gil_scoped_release release;
  infer::table_sum_cpu(op, epilogue, threads);
}

void infer_characters(const py::object& characters_, const py::object& tables_, const py::object& bias_,
                      const py::object& out_, std::int64_t filters, std::int64_t column, int threads) {
  const Tensor characters = on_cpu(Tensor::from(characters_, "characters"));
  const Tensor tables = on_cpu(Tensor::from(tables_, "tables"));
  const Tensor bias = on_cpu(Tensor::from(bias_, "bias"));
  const Tensor out = on_cpu(Tensor::from(out_, "out"));
  characters.require_dtype({DType::kUInt8}).require_rank(2);
  tables.require_dtype({DType::kFloat32}).require_rank(3);
  bias.require_dtype({DType::kFloat32}).require_rank(1);
  out.require_dtype({DType::kFloat32}).require_rank(2);
  Characters op{};
  op.characters = characters.as<std::uint8_t>();
  op.rows = characters.shape[0];
  op.slots = characters.shape[1];
  op.tables = tables.as<float>();
  op.kinds = tables.shape[0];
  op.bias = bias.as<float>();
  op.width = bias.shape[0];
  op.filters = filters;
  op.out_stride = out.shape[1];
  require(op.width >= 1 && op.width % infer::kLanes == 0, "`bias` must be padded to a multiple of 16");
  require(tables.shape[1] == 3 && tables.shape[2] == op.width, "`tables` must have three parts like `bias`");
  require(1 <= filters && filters <= op.width && padded(filters) == op.width,
          "`filters` does not fit `bias`");
  require(0 <= column && column <= op.out_stride - filters, "`out` has too few columns");
  require(rows_of(out) >= op.rows, "`out` must have a row for every word");
  op.out = out.as<float>() + column;
  std::uint8_t most = 0;
  for (std::int64_t i = 0; i < op.rows * op.slots; ++i) most = std::max(most, op.characters[i]);
  require(op.rows * op.slots == 0 || most < op.kinds, "`characters` must be below the rows of `tables`");
  py::gil_scoped_release release;
  infer::characters_cpu(op, threads);
}

}  // namespace

void register_infer(py::module_& module) {
  module.def("infer_linear", &infer_linear, py::arg("type"), py::arg("values"), py::arg("index"),
             py::arg("lengths"), py::arg("weights"), py::arg("bias"), py::arg("scale").none(true),
             py::arg("shift").none(true), py::arg("epilogue"), py::arg("threads"),
             "A matrix product over gathered rows and what follows it; see csrc/inference/infer.h.");
  module.def("infer_table_sum", &infer_table_sum, py::arg("table"), py::arg("narrow"), py::arg("index"),
             py::arg("rows"), py::arg("index_step"), py::arg("taps"), py::arg("bias"),
             py::arg("scale").none(true), py::arg("epilogue"), py::arg("threads"),
             "Sums of table rows and what follows them; see csrc/inference/infer.h.");
  module.def("infer_characters", &infer_characters, py::arg("characters"), py::arg("tables"), py::arg("bias"),
             py::arg("out"), py::arg("filters"), py::arg("column"), py::arg("threads"),
             "Features of the characters of words; see csrc/inference/infer.h.");
  module.def(
      "infer_is_native", [](int type) { return infer::is_native(type_of(type)); }, py::arg("type"),
      "Whether the SIMD level in use multiplies this type (0 float32, 1 bfloat16, 2 int8) natively.");
}

}  // namespace bioner::bindings
