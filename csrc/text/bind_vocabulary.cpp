#include <algorithm>
#include <bit>

#include "text/bind_support.h"
#include "text/hash_index.h"
#include "text/register.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace bioner {

namespace {

PackedStrings strings_of(const py::array_t<std::uint8_t>& text, const py::array_t<std::int64_t>& offsets,
                         const char* name) {
  check_offsets(offsets, text.size(), name, /*slice=*/true);
  return {reinterpret_cast<const char*>(text.data()), offsets.data(), offsets.size() - 1};
}

// Words with their index. The arrays are checked once, here, and kept; they may be memory-mapped.
class WordIndex {
 public:
  WordIndex(const py::object& text, const py::object& offsets, const py::object& slots)
      : text_(vector_of<std::uint8_t>(text, "text")),
        offsets_(vector_of<std::int64_t>(offsets, "offsets")),
        slots_(vector_of<std::uint64_t>(slots, "slots")),
        words_(strings_of(text_, offsets_, "offsets")),
        index_(slots_.data(), slots_.size(), words_) {
    const auto n = static_cast<std::uint64_t>(slots_.size());
    if (!std::has_single_bit(n) || slots_.size() < HashIndex::slots_for(words_.size)) {
      throw py::value_error("slots: expected a power of two of at least " +
                            std::to_string(HashIndex::slots_for(words_.size)) + ", got " + std::to_string(n));
    }
    // A search ends at an empty slot; make sure that there is one whatever a damaged file holds.
    if (std::find(slots_.data(), slots_.data() + n, 0u) == slots_.data() + n) {
      throw py::value_error("slots: expected empty ones among them, got none");
    }
  }

  py::array_t<std::int32_t> lookup(const py::object& text, const py::object& offsets, std::int64_t limit,
                                   bool lower, bool digits, bool fold, int threads) const {
    const auto token_text = vector_of<std::uint8_t>(text, "text");
    const auto token_offsets = vector_of<std::int64_t>(offsets, "offsets");
    const PackedStrings tokens = strings_of(token_text, token_offsets, "offsets");
    py::array_t<std::int32_t> rows(tokens.size);
    std::int32_t* const out = rows.mutable_data();
    const auto last = static_cast<std::int32_t>(std::clamp<std::int64_t>(limit, 0, words_.size));
    const py::gil_scoped_release release;
    bioner::lookup(index_, last, tokens, {lower, digits, fold}, threads, out);
    return rows;
  }

 private:
  py::array_t<std::uint8_t> text_;
  py::array_t<std::int64_t> offsets_;
  py::array_t<std::uint64_t> slots_;
  PackedStrings words_;
  HashIndex index_;
};

py::tuple build_index(const py::object& text, const py::object& offsets) {
  const auto text_array = vector_of<std::uint8_t>(text, "text");
  const auto offset_array = vector_of<std::int64_t>(offsets, "offsets");
  const PackedStrings words = strings_of(text_array, offset_array, "offsets");
  if (words.size >= std::int64_t{1} << 30) throw py::value_error("words: expected fewer than 2^30");
  const std::int64_t n_slots = HashIndex::slots_for(words.size);
  std::unique_ptr<std::uint64_t[]> slots(new std::uint64_t[static_cast<std::size_t>(n_slots)]());
  std::vector<std::int64_t> repeated;
  {
    const py::gil_scoped_release release;
    repeated = build_hash_index(words, slots.get(), n_slots);
  }
  return py::make_tuple(to_numpy(std::move(slots), n_slots), to_numpy(std::move(repeated)));
}

// Distinct strings by first appearance: position of the first, and how often each occurs. `mask` selects
// strings.
py::tuple count_strings(const py::object& text, const py::object& offsets, const py::object& mask) {
  const auto text_array = vector_of<std::uint8_t>(text, "text");
  const auto offset_array = vector_of<std::int64_t>(offsets, "offsets");
  const PackedStrings strings = strings_of(text_array, offset_array, "offsets");
  py::array_t<bool> selected;
  if (!mask.is_none()) {
    selected = vector_of<bool>(mask, "mask");
    if (selected.size() != strings.size) {
      throw py::value_error("mask: expected " + std::to_string(strings.size) + " values, got " +
                            std::to_string(selected.size()));
    }
  }
  const bool* const chosen = mask.is_none() ? nullptr : selected.data();
  StringCounts counts;
  {
    const py::gil_scoped_release release;
    counts = count_distinct(strings, chosen);
  }
  return py::make_tuple(to_numpy(std::move(counts.first)), to_numpy(std::move(counts.count)));
}

py::array_t<std::uint8_t> capitals(const py::object& text, const py::object& offsets, int threads) {
  const auto text_array = vector_of<std::uint8_t>(text, "text");
  const auto offset_array = vector_of<std::int64_t>(offsets, "offsets");
  const PackedStrings tokens = strings_of(text_array, offset_array, "offsets");
  py::array_t<std::uint8_t> classes(tokens.size);
  std::uint8_t* const out = classes.mutable_data();
  const py::gil_scoped_release release;
  capitalization(tokens, threads, out);
  return classes;
}

}  // namespace

void register_vocabulary(py::module_& m) {
  py::class_<WordIndex>(m, "WordIndex", "Words and their hash index; lookups release the GIL.")
      .def(py::init<const py::object&, const py::object&, const py::object&>(), py::arg("text"),
           py::arg("offsets"), py::arg("slots"))
      .def("lookup", &WordIndex::lookup, py::arg("text"), py::arg("offsets"), py::arg("limit"),
           py::arg("lower"), py::arg("digits"), py::arg("fold"), py::arg("threads"),
           "Rows int32 [n], -1 where no form is known.");
  m.def("build_index", &build_index, py::arg("text"), py::arg("offsets"),
        "(slots uint64, positions int64 of words that occurred before).");
  m.def("count_strings", &count_strings, py::arg("text"), py::arg("offsets"), py::arg("mask"),
        "Distinct strings by first appearance: (first position int64, count int64).");
  m.def("capitalization", &capitals, py::arg("text"), py::arg("offsets"), py::arg("threads"),
        "Classes uint8 [n].");
  m.def("lower_key", [](const std::string& token) { return lower_key(token); }, py::arg("token"));
  m.def("digit_key", [](const std::string& token) { return digit_key(token); }, py::arg("token"));
  m.def(
      "fold_key", [](const std::string& token, bool small_names) { return fold_key(token, small_names); },
      py::arg("token"), py::arg("small_names"));
  m.def("character_classes", [] {
    py::array_t<std::uint8_t> table(static_cast<py::ssize_t>(kCodePoints));
    std::copy_n(character_classes(), kCodePoints, table.mutable_data());
    return table;
  });
  m.attr("UNICODE_VERSION") = unicode_version();
  m.attr("HASH_INDEX_VERSION") = kHashIndexVersion;
}

}  // namespace bioner
