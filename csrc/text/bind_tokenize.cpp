#include "text/bind_support.h"
#include "text/register.h"
#include "text/tokenizer.h"

namespace bioner {

namespace {

// `texts`: a list or tuple of str, kept alive by the sequence made here; their characters are read without a
// copy.
py::tuple segment_texts(const py::object& texts, bool split, int threads) {
  const py::object sequence = py::reinterpret_steal<py::object>(PySequence_Tuple(texts.ptr()));
  if (!sequence) throw py::error_already_set();
  const auto items = py::reinterpret_borrow<py::tuple>(sequence);
  std::vector<TextView> views;
  views.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    PyObject* const item = items[i].ptr();
    if (!PyUnicode_Check(item)) {
      throw py::type_error("texts: expected str, got " + std::string(Py_TYPE(item)->tp_name) + " at index " +
                           std::to_string(i));
    }
    views.push_back(
        {PyUnicode_DATA(item), PyUnicode_GET_LENGTH(item), static_cast<int>(PyUnicode_KIND(item))});
  }
  Segmentation out;
  {
    const py::gil_scoped_release release;
    out = segment(views, split, threads);
  }
  const auto bytes = out.offsets[static_cast<std::size_t>(out.n_tokens)];
  return py::make_tuple(
      to_numpy(std::move(out.text), bytes), to_numpy(std::move(out.offsets), out.n_tokens + 1),
      to_numpy(std::move(out.starts), out.n_tokens), to_numpy(std::move(out.ends), out.n_tokens),
      to_numpy(std::move(out.sentences), out.n_sentences + 1),
      to_numpy(std::move(out.documents), static_cast<std::int64_t>(views.size()) + 1));
}

}  // namespace

void register_tokenize(py::module_& m) {
  m.def("segment", &segment_texts, py::arg("texts"), py::arg("split"), py::arg("threads"),
        "(token text uint8, offsets [N + 1], starts [N], ends [N], sentence offsets [S + 1], text offsets [T "
        "+ 1]).");
}

}  // namespace bioner
