#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include "text/bind_support.h"
#include "text/register.h"
#include "text/row_index.h"

namespace bioner {

namespace {

std::int64_t count_keys(const RowIndex& index, const py::array_t<std::uint8_t>& keys) {
  if (keys.size() % index.key_size() != 0) {
    throw py::value_error("keys: expected whole keys of " + std::to_string(index.key_size()) +
                          " bytes, got " + std::to_string(keys.size()) + " bytes");
  }
  return keys.size() / index.key_size();
}

py::array_t<std::int32_t> find(const RowIndex& index, const py::object& keys) {
  const auto bytes = vector_of<std::uint8_t>(keys, "keys");
  const std::int64_t n = count_keys(index, bytes);
  py::array_t<std::int32_t> rows(n);
  std::int32_t* const out = rows.mutable_data();
  const std::uint8_t* const data = bytes.data();
  const py::gil_scoped_release release;
  index.find(data, n, out);
  return rows;
}

void insert(RowIndex& index, const py::object& keys, const py::object& which, std::int64_t first) {
  const auto bytes = vector_of<std::uint8_t>(keys, "keys");
  const auto chosen = vector_of<std::int64_t>(which, "which");
  check_ids(chosen, count_keys(index, bytes), "which");
  if (first < 1 || first + chosen.size() > std::numeric_limits<std::int32_t>::max()) {
    throw py::value_error("first: expected rows from 1 to below 2^31, got " + std::to_string(first));
  }
  const std::uint8_t* const data = bytes.data();
  const std::int64_t* const places = chosen.data();
  const std::int64_t n = chosen.size();
  const py::gil_scoped_release release;
  index.insert(data, places, n, static_cast<std::int32_t>(first));
}

RowIndex kept(const RowIndex& index, const py::object& place) {
  const auto places = vector_of<std::int32_t>(place, "place");
  const auto& rows = index.rows();
  const std::int32_t largest = rows.empty() ? 0 : *std::max_element(rows.begin(), rows.end());
  if (places.size() <= largest) {
    throw py::value_error("place: expected a place for each of the rows up to " + std::to_string(largest) +
                          ", got " + std::to_string(places.size()));
  }
  return index.kept(places.data());
}

}  // namespace

void register_row_index(py::module_& m) {
  py::class_<RowIndex>(m, "RowIndex",
                       "Keys of one size in bytes, with a row above 0 each; callers hold a lock.")
      .def(py::init([](std::int64_t key_size) {
             if (key_size < 1) {
               throw py::value_error("key_size: expected at least 1, got " + std::to_string(key_size));
             }
             return std::make_unique<RowIndex>(key_size);
           }),
           py::arg("key_size"))
      .def("find", &find, py::arg("keys"), "Rows int32 of keys uint8 [n * key_size], 0 where not there.")
      .def("insert", &insert, py::arg("keys"), py::arg("which"), py::arg("first"),
           "Give the keys `which` int64 the rows from `first` on; of equal keys the last counts.")
      .def(
          "rows", [](const RowIndex& index) { return to_numpy(std::vector<std::int32_t>(index.rows())); },
          "Rows int32 of all keys, in order of insertion.")
      .def("kept", &kept, py::arg("place"),
           "A new index: rows r of this one become place[r], int32, or are forgotten where that is 0.");
}

}  // namespace bioner
