#include <algorithm>
#include <cstring>
#include <limits>

#include "base/runtime/thread_pool.h"
#include "text/bind_support.h"
#include "text/block_digest.h"
#include "text/register.h"
#include "text/vectors.h"

namespace bioner {

namespace {

std::string_view file_of(const py::buffer_info& info) {
  if (info.ndim != 1 || info.itemsize != 1) throw py::value_error("data: expected bytes");
  return {static_cast<const char*>(info.ptr), static_cast<std::size_t>(info.size)};
}

// `limit` below 0: all entries.
py::tuple scan_vectors(const py::buffer& data, const std::string& path, bool binary, std::int64_t begin,
                       std::int64_t count, std::int64_t limit, std::int64_t dim, int threads) {
  const py::buffer_info info = data.request();
  const std::string_view file = file_of(info);
  if (begin < 0 || begin > info.size) throw py::value_error("begin: expected a position in the data");
  if (dim < 1) throw py::value_error("dim: expected at least 1, got " + std::to_string(dim));
  if (binary && count < 0) throw py::value_error("count: expected at least 0, got " + std::to_string(count));
  if (limit < 0) limit = std::numeric_limits<std::int64_t>::max();
  VectorScan scan;
  try {
    const py::gil_scoped_release release;
    scan = binary ? scan_vectors_binary(file, begin, count, limit, dim)
                  : scan_vectors_text(file, begin, count, limit, dim, begin == 0 ? 1 : 2, threads);
  } catch (const TextError& error) {
    raise_format_error(path, error);
  }
  py::array_t<std::uint8_t> text(static_cast<py::ssize_t>(scan.text.size()));
  std::memcpy(text.mutable_data(), scan.text.data(), scan.text.size());
  return py::make_tuple(text, to_numpy(std::move(scan.offsets)), to_numpy(std::move(scan.value_offsets)),
                        scan.invalid_utf8);
}

py::tuple read_rows(const py::buffer& data, const std::string& path, bool binary,
                    const py::object& value_offsets, const py::object& out, int threads) {
  const py::buffer_info info = data.request();
  const std::string_view file = file_of(info);
  const auto at = vector_of<std::int64_t>(value_offsets, "value_offsets");
  if (!py::isinstance<py::array_t<float, py::array::c_style>>(out)) {
    throw py::type_error("out: expected a contiguous array of float32");
  }
  auto rows = py::reinterpret_borrow<py::array_t<float>>(out);
  if (rows.ndim() != 2 || rows.shape(0) != at.size()) {
    throw py::value_error("out: expected " + std::to_string(at.size()) + " rows");
  }
  const std::int64_t dim = rows.shape(1);
  const std::int64_t bytes = binary ? dim * static_cast<std::int64_t>(sizeof(float)) : 0;
  for (std::int64_t i = 0; i < at.size(); ++i) {
    if (at.data()[i] < 0 || at.data()[i] > info.size - bytes) {
      throw py::value_error("value_offsets: expected positions in the data, got " +
                            std::to_string(at.data()[i]) + " at index " + std::to_string(i));
    }
  }
  const std::int64_t n = at.size();
  const std::int64_t* const positions = at.data();
  float* const values = rows.mutable_data();
  RowCounts counts;
  try {
    const py::gil_scoped_release release;
    counts = binary ? copy_rows_binary(file, positions, n, dim, threads, values)
                    : parse_rows_text(file, positions, n, dim, threads, values);
  } catch (const TextError& error) {
    raise_format_error(path, error);
  }
  return py::make_tuple(counts.zero, counts.not_finite);
}

py::bytes format_rows(const py::object& text, const py::object& offsets, const py::object& rows, bool binary,
                      const std::string& end, int threads) {
  const auto text_array = vector_of<std::uint8_t>(text, "text");
  const auto offset_array = vector_of<std::int64_t>(offsets, "offsets");
  check_offsets(offset_array, text_array.size(), "offsets", /*slice=*/true);
  if (!py::isinstance<py::array_t<float, py::array::c_style>>(rows)) {
    throw py::type_error("rows: expected a contiguous array of float32");
  }
  const auto values = py::reinterpret_borrow<py::array_t<float>>(rows);
  const std::int64_t n = offset_array.size() - 1;
  if (values.ndim() != 2 || values.shape(0) != n)
    throw py::value_error("rows: expected " + std::to_string(n) + " rows");
  const PackedStrings words{reinterpret_cast<const char*>(text_array.data()), offset_array.data(), n};
  const float* const data = values.data();
  const std::int64_t dim = values.shape(1);
  std::string out;
  {
    const py::gil_scoped_release release;
    out = format_vectors(words, data, dim, binary, end, threads);
  }
  return py::bytes(out);
}

py::array_t<std::uint64_t> block_digests(const py::object& data, std::int64_t block, int threads) {
  const auto bytes = vector_of<std::uint8_t>(data, "data");
  if (block < 1) throw py::value_error("block: expected at least 1, got " + std::to_string(block));
  const std::int64_t size = bytes.size();
  const std::int64_t n = size / block + (size % block != 0);
  py::array_t<std::uint64_t> digests(n);
  const char* const begin = reinterpret_cast<const char*>(bytes.data());
  std::uint64_t* const out = digests.mutable_data();
  const py::gil_scoped_release release;
  parallel_for(n, 1, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t length = std::min(block, size - i * block);
      out[i] = block_digest({begin + i * block, static_cast<std::size_t>(length)});
    }
  });
  return digests;
}

}  // namespace

void register_vectors(py::module_& m) {
  m.def("scan_vectors", &scan_vectors, py::arg("data"), py::arg("path"), py::arg("binary"), py::arg("begin"),
        py::arg("count"), py::arg("limit"), py::arg("dim"), py::arg("threads"),
        "Words and the places of their values: (text uint8, offsets int64 [n + 1], value_offsets int64 [n], "
        "number of "
        "words that were not UTF-8).");
  m.def("read_vector_rows", &read_rows, py::arg("data"), py::arg("path"), py::arg("binary"),
        py::arg("value_offsets"), py::arg("out"), py::arg("threads"),
        "Fills out float32 [n, dim]; (zero rows, rows that are not finite).");
  m.def("format_vectors", &format_rows, py::arg("text"), py::arg("offsets"), py::arg("rows"),
        py::arg("binary"), py::arg("end"), py::arg("threads"), "The entries of a word-vector file as bytes.");
  m.def("block_digests", &block_digests, py::arg("data"), py::arg("block"), py::arg("threads"),
        "Digests uint64 of data, uint8, in blocks of so many bytes; the last one may be shorter.");
}

}  // namespace bioner
