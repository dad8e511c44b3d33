#include <pybind11/stl.h>

#include <cerrno>
#include <system_error>

#include "text/bind_support.h"
#include "text/conll.h"
#include "text/conll_marks.h"
#include "text/file_bytes.h"
#include "text/register.h"

namespace bioner {

namespace {

py::tuple read(const py::buffer& data, const std::string& path, std::int64_t token_column,
               std::vector<std::int64_t> label_columns, std::int64_t min_columns, int threads) {
  const py::buffer_info info = data.request();
  if (info.ndim != 1 || info.itemsize != 1) throw py::value_error("data: expected bytes");
  const std::string_view file(static_cast<const char*>(info.ptr), static_cast<std::size_t>(info.size));
  const ConllOptions options{token_column, std::move(label_columns), min_columns};
  ConllTable table;
  try {
    const py::gil_scoped_release release;
    table = read_conll(file, options, threads);
  } catch (const TextError& error) {
    raise_format_error(path, error);
  }
  const std::int64_t bytes = table.offsets[static_cast<std::size_t>(table.n_tokens)];
  py::list labels;
  for (LabelColumn& label : table.labels) {
    labels.append(
        py::make_tuple(to_numpy(std::move(label.ids), table.n_tokens), py::tuple(to_list(label.names))));
  }
  return py::make_tuple(
      to_numpy(std::move(table.text), bytes), to_numpy(std::move(table.offsets), table.n_tokens + 1), labels,
      to_numpy(std::move(table.sentence_offsets)), to_numpy(std::move(table.document_offsets)),
      py::tuple(to_list(table.document_ids)), table.skipped, table.first_skipped);
}

py::object mark_of(const std::string& line, bool has_columns) {
  conll::Mark mark = conll::read_mark(line, has_columns);
  const char* kinds[] = {"none", "start", "name", "end", "comment"};
  if (mark.kind == conll::Mark::Kind::kNone) return py::none();
  return py::make_tuple(kinds[static_cast<int>(mark.kind)], std::move(mark.id));
}

py::object load(int descriptor, int threads) {
  FileBytes file;
  try {
    const py::gil_scoped_release release;
    file = read_descriptor(descriptor, threads);
  } catch (const std::system_error& error) {
    errno = error.code().value();
    PyErr_SetFromErrno(PyExc_OSError);
    throw py::error_already_set();
  }
  if (!file.data) return py::none();
  return to_numpy(std::move(file.data), static_cast<std::int64_t>(file.size));
}

py::bytes write(const py::object& text, const py::object& offsets, const py::list& labels,
                const py::object& sentence_offsets, const py::object& document_offsets,
                const std::vector<std::string>& document_ids, const std::string& path) {
  const auto text_array = vector_of<std::uint8_t>(text, "text");
  const auto offset_array = vector_of<std::int64_t>(offsets, "offsets");
  const auto sentence_array = vector_of<std::int64_t>(sentence_offsets, "sentence_offsets");
  const auto document_array = vector_of<std::int64_t>(document_offsets, "document_offsets");
  check_offsets(offset_array, text_array.size(), "offsets", /*slice=*/true);
  ConllWriteInput in;
  in.text = text_array.data();
  in.offsets = offset_array.data();
  in.n_tokens = offset_array.size() - 1;
  check_offsets(sentence_array, in.n_tokens, "sentence_offsets");
  in.sentence_offsets = sentence_array.data();
  in.n_sentences = sentence_array.size() - 1;
  check_offsets(document_array, document_ids.empty() ? 0 : in.n_sentences, "document_offsets");
  in.document_offsets = document_array.data();
  in.n_documents = document_array.size() - 1;
  in.document_ids = document_ids;
  if (in.n_documents != static_cast<std::int64_t>(document_ids.size())) {
    throw py::value_error("document_ids: expected one per document, got " +
                          std::to_string(document_ids.size()));
  }
  std::vector<py::array_t<std::int32_t>> ids;
  for (const py::handle& item : labels) {
    const auto pair = py::cast<py::tuple>(item);
    ids.push_back(vector_of<std::int32_t>(pair[0], "tag_ids"));
    in.label_names.push_back(py::cast<std::vector<std::string>>(pair[1]));
    if (ids.back().size() != in.n_tokens) {
      throw py::value_error("tag_ids: expected " + std::to_string(in.n_tokens) + " values, got " +
                            std::to_string(ids.back().size()));
    }
    check_ids(ids.back(), static_cast<std::int64_t>(in.label_names.back().size()), "tag_ids");
    in.label_ids.push_back(ids.back().data());
  }
  std::string out;
  try {
    const py::gil_scoped_release release;
    out = write_conll(in);
  } catch (const TextError& error) {
    raise_format_error(path, error);
  }
  return py::bytes(out);
}

}  // namespace

void register_conll(py::module_& m) {
  m.def("load_file", &load, py::arg("descriptor"), py::arg("threads"),
        "The bytes of an open regular file as an array, or None where it is not one; OSError");
  m.def("read_conll", &read, py::arg("data"), py::arg("path"), py::arg("token_column"),
        py::arg("label_columns"), py::arg("min_columns"), py::arg("threads"),
        "(text, offsets, [(label ids, label names)], sentence offsets, document offsets, document ids, lines "
        "with a blank token, the first of them)");
  m.def("conll_mark", &mark_of, py::arg("line"), py::arg("has_columns"),
        "None for the line of a token, else (start, name, end or comment, the document's id)");
  m.def("may_begin_columns", &conll::may_begin_columns, py::arg("line"),
        "Whether a line, if it has a token, may be the first of a file");
  m.def("write_conll", &write, py::arg("text"), py::arg("offsets"), py::arg("labels"),
        py::arg("sentence_offsets"), py::arg("document_offsets"), py::arg("document_ids"), py::arg("path"),
        "The column file as bytes; labels are (ids, names) pairs");
}

}  // namespace bioner
