#include "text/abbreviations.h"
#include "text/bind_support.h"
#include "text/register.h"

namespace bioner {

namespace {

PackedStrings strings_of(const py::array_t<std::uint8_t>& text, const py::array_t<std::int64_t>& offsets) {
  check_offsets(offsets, text.size(), "offsets", /*slice=*/true);
  return {reinterpret_cast<const char*>(text.data()), offsets.data(), offsets.size() - 1};
}

void check_size(const py::array_t<std::int64_t>& array, std::int64_t size, const char* name) {
  if (array.size() != size) {
    throw py::value_error(std::string(name) + ": expected " + std::to_string(size) + " values, got " +
                          std::to_string(array.size()));
  }
}

py::array_t<std::int64_t> abbreviations(const py::object& text, const py::object& offsets,
                                        const py::object& starts, const py::object& ends,
                                        const py::object& sentences) {
  const auto token_text = vector_of<std::uint8_t>(text, "text");
  const auto token_offsets = vector_of<std::int64_t>(offsets, "offsets");
  const auto token_starts = vector_of<std::int64_t>(starts, "starts");
  const auto token_ends = vector_of<std::int64_t>(ends, "ends");
  const auto sentence_offsets = vector_of<std::int64_t>(sentences, "sentence_offsets");
  const TokenText tokens = {strings_of(token_text, token_offsets), token_starts.data(), token_ends.data()};
  check_size(token_starts, tokens.tokens.size, "starts");
  check_size(token_ends, tokens.tokens.size, "ends");
  check_offsets(sentence_offsets, tokens.tokens.size, "sentence_offsets");
  std::vector<Abbreviation> found;
  {
    const py::gil_scoped_release release;
    find_abbreviations(tokens, sentence_offsets.data(), sentence_offsets.size() - 1, found);
  }
  py::array_t<std::int64_t> out({static_cast<py::ssize_t>(found.size()), py::ssize_t{4}});
  std::int64_t* p = out.mutable_data();
  for (const Abbreviation& a : found) {
    *p++ = a.short_start;
    *p++ = a.short_end;
    *p++ = a.long_start;
    *p++ = a.long_end;
  }
  return out;
}

py::tuple repeats(const py::object& text, const py::object& offsets, const py::object& documents,
                  const py::object& name_starts, const py::object& name_ends) {
  const auto token_text = vector_of<std::uint8_t>(text, "text");
  const auto token_offsets = vector_of<std::int64_t>(offsets, "offsets");
  const auto document_offsets = vector_of<std::int64_t>(documents, "document_offsets");
  const auto starts = vector_of<std::int64_t>(name_starts, "name_starts");
  const auto ends = vector_of<std::int64_t>(name_ends, "name_ends");
  const PackedStrings tokens = strings_of(token_text, token_offsets);
  check_offsets(document_offsets, tokens.size, "document_offsets");
  check_size(ends, starts.size(), "name_ends");
  const std::int64_t* const a = starts.data();
  const std::int64_t* const b = ends.data();
  std::int64_t d = 0;
  for (std::int64_t i = 0; i < starts.size(); ++i) {
    const bool inside = a[i] >= 0 && a[i] < b[i] && b[i] <= tokens.size && (i == 0 || a[i - 1] <= a[i]);
    if (inside) {
      while (document_offsets.data()[d + 1] <= a[i]) ++d;
    }
    if (!inside || b[i] > document_offsets.data()[d + 1]) {
      throw py::value_error("names: expected tokens of one document each, by ascending start, got " +
                            std::to_string(a[i]) + ".." + std::to_string(b[i]) + " at index " +
                            std::to_string(i));
    }
  }
  Repeats found;
  {
    const py::gil_scoped_release release;
    find_repeats(tokens, document_offsets.data(), document_offsets.size() - 1, a, b, starts.size(), found);
  }
  return py::make_tuple(to_numpy(std::move(found.group)), to_numpy(std::move(found.starts)),
                        to_numpy(std::move(found.ends)), to_numpy(std::move(found.occurrence_group)));
}

}  // namespace

void register_names(py::module_& m) {
  m.def(
      "abbreviations", &abbreviations, py::arg("text"), py::arg("offsets"), py::arg("starts"),
      py::arg("ends"), py::arg("sentence_offsets"),
      "Definitions of abbreviations as tokens (short start, short end, long start, long end), int64 [a, 4].");
  m.def("repeats", &repeats, py::arg("text"), py::arg("offsets"), py::arg("document_offsets"),
        py::arg("name_starts"), py::arg("name_ends"),
        "(group of every name int64 [m], and of every occurrence start, end and group int64 [k]).");
}

}  // namespace bioner
