#include <numeric>

#include "text/bind_support.h"
#include "text/packed_strings.h"
#include "text/pictographs.h"
#include "text/register.h"
#include "text/word_forms.h"

namespace bioner {

namespace {

PackedStrings strings_of(const py::array_t<std::uint8_t>& text, const py::array_t<std::int64_t>& offsets) {
  check_offsets(offsets, text.size(), "offsets", /*slice=*/true);
  return {reinterpret_cast<const char*>(text.data()), offsets.data(), offsets.size() - 1};
}

py::tuple forms(const py::object& text, const py::object& offsets, bool fold, int threads) {
  const auto token_text = vector_of<std::uint8_t>(text, "text");
  const auto token_offsets = vector_of<std::int64_t>(offsets, "offsets");
  const PackedStrings tokens = strings_of(token_text, token_offsets);
  if (tokens.size >= std::int64_t{1} << 31)
    throw py::value_error("offsets: expected fewer than 2^31 strings");
  py::array_t<std::int32_t> ids(tokens.size);
  std::int32_t* const id = ids.mutable_data();
  std::vector<std::int64_t> first;
  {
    const py::gil_scoped_release release;
    first = distinct_strings(tokens, id);
  }
  const auto n = static_cast<py::ssize_t>(first.size());
  py::array_t<std::uint8_t> characters({n, static_cast<py::ssize_t>(kCharacterSlots)});
  py::array_t<std::int32_t> affixes({n, static_cast<py::ssize_t>(kAffixColumns)});
  std::uint8_t* const character = characters.mutable_data();
  std::int32_t* const affix = affixes.mutable_data();
  {
    const py::gil_scoped_release release;
    std::string words;
    std::vector<std::int64_t> bounds = {0};
    for (const std::int64_t i : first) {
      words.append(tokens[i]);
      bounds.push_back(static_cast<std::int64_t>(words.size()));
    }
    word_forms({words.data(), bounds.data(), n}, fold, threads, character, affix);
  }
  return py::make_tuple(ids, characters, affixes);
}

py::array_t<std::uint8_t> pictographs(const py::object& text, const py::object& offsets) {
  const auto token_text = vector_of<std::uint8_t>(text, "text");
  const auto token_offsets = vector_of<std::int64_t>(offsets, "offsets");
  const PackedStrings tokens = strings_of(token_text, token_offsets);
  py::array_t<std::uint8_t> found(tokens.size);
  std::uint8_t* const out = found.mutable_data();
  const py::gil_scoped_release release;
  find_pictographs(tokens, out);
  return found;
}

}  // namespace

void register_word_forms(py::module_& m) {
  m.def("word_forms", &forms, py::arg("text"), py::arg("offsets"), py::arg("fold"), py::arg("threads"),
        "Numbers of the tokens' forms int32 [n], and of the u distinct ones characters uint8 [u, slots] and "
        "affixes int32 [u, columns].");
  m.def("pictographs", &pictographs, py::arg("text"), py::arg("offsets"),
        "Whether each token holds nothing but pictographs and what joins them, uint8 [n].");
  m.attr("WORD_FORMS_VERSION") = kWordFormsVersion;
  m.attr("WORD_FORM_CHARACTERS") = kCharacters;
  m.attr("WORD_FORM_CHARACTER_SLOTS") = kCharacterSlots;
  m.attr("WORD_FORM_AFFIX_COLUMNS") = kAffixColumns;
  m.attr("WORD_FORM_AFFIX_ROWS") = std::accumulate(kAffixRows.begin(), kAffixRows.end(), 0);
}

}  // namespace bioner
