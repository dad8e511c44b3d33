#include <algorithm>

#include "text/bind_support.h"
#include "text/register.h"
#include "text/scoring.h"
#include "text/tags.h"

namespace bioner {

namespace {

// A tag set as Python hands it over; the arrays live as long as the views into them.
struct TagArrays {
  py::array_t<std::uint8_t> prefix;
  py::array_t<std::int32_t> type;

  TagArrays(const py::handle& prefixes, const py::handle& types, std::int64_t n_types)
      : prefix(vector_of<std::uint8_t>(prefixes, "prefix")), type(vector_of<std::int32_t>(types, "type")) {
    if (prefix.size() != type.size()) throw py::value_error("type: expected one per prefix");
    if (n_types < 0) throw py::value_error("n_types: expected at least 0, got " + std::to_string(n_types));
    check_ids(prefix, kOther + 1, "prefix");
    for (std::int64_t i = 0; i < type.size(); ++i) {
      if (type.data()[i] < -1 || type.data()[i] >= n_types) {
        throw py::value_error("type: expected values from -1 to " + std::to_string(n_types - 1) + ", got " +
                              std::to_string(type.data()[i]) + " at index " + std::to_string(i));
      }
    }
  }

  TagTable table() const { return {prefix.data(), type.data(), prefix.size()}; }
};

struct SentenceArrays {
  py::array_t<std::int32_t> tags;
  py::array_t<std::int64_t> offsets;

  SentenceArrays(const py::handle& tag_ids, const py::handle& sentence_offsets, std::int64_t n_tags,
                 const char* name = "tag_ids")
      : tags(vector_of<std::int32_t>(tag_ids, name)),
        offsets(vector_of<std::int64_t>(sentence_offsets, "sentence_offsets")) {
    check_offsets(offsets, tags.size(), "sentence_offsets");
    check_ids(tags, n_tags, name);
  }

  TaggedSentences view() const { return {tags.data(), offsets.data(), offsets.size() - 1}; }
};

Scheme scheme_of(int number) {
  if (number < 0 || number > 2)
    throw py::value_error("scheme: expected 0, 1 or 2, got " + std::to_string(number));
  return static_cast<Scheme>(number);
}

py::tuple illegal(const py::object& tag_ids, const py::object& offsets, const py::object& prefix,
                  const py::object& type, int scheme) {
  const TagArrays arrays(prefix, type, INT32_MAX);
  const SentenceArrays sentences(tag_ids, offsets, arrays.prefix.size());
  const Scheme kind = scheme_of(scheme);
  IllegalTags found;
  {
    const py::gil_scoped_release release;
    found = find_illegal(sentences.view(), arrays.table(), kind);
  }
  return py::make_tuple(found.count, found.first, found.starts_with_begin, found.starts_with_inside);
}

py::tuple convert(const py::object& tag_ids, const py::object& offsets, const py::object& prefix,
                  const py::object& type, std::int32_t n_types, int scheme) {
  const TagArrays arrays(prefix, type, n_types);
  // A table has a place for every code of the result; see tags.h.
  if (4 * (std::int64_t{n_types} + 1) + arrays.prefix.size() >= (1 << 24)) {
    throw py::value_error("n_types: expected fewer types, got " + std::to_string(n_types));
  }
  const SentenceArrays sentences(tag_ids, offsets, arrays.prefix.size());
  const Scheme kind = scheme_of(scheme);
  py::array_t<std::int32_t> ids(sentences.tags.size());
  std::int32_t* out = ids.mutable_data();
  std::vector<std::int32_t> codes;  // the code each new id stands for, by first appearance
  {
    const py::gil_scoped_release release;
    convert_tags(sentences.view(), arrays.table(), n_types, kind, out);
    std::vector<std::int32_t> number(static_cast<std::size_t>(1 + 4 * (n_types + 1) + arrays.table().n_tags),
                                     -1);
    for (std::int64_t i = 0; i < sentences.tags.size(); ++i) {
      std::int32_t& id = number[static_cast<std::size_t>(out[i])];
      if (id < 0) {
        id = static_cast<std::int32_t>(codes.size());
        codes.push_back(out[i]);
      }
      out[i] = id;
    }
  }
  return py::make_tuple(ids, to_numpy(std::move(codes)));
}

py::tuple spans(const py::object& tag_ids, const py::object& offsets, const py::object& prefix,
                const py::object& type, bool strict, int scheme) {
  const TagArrays arrays(prefix, type, INT32_MAX);
  const SentenceArrays sentences(tag_ids, offsets, arrays.prefix.size());
  const Scheme kind = scheme_of(scheme);
  std::vector<Span> found;
  std::unique_ptr<std::int64_t[]> columns[3];
  std::size_t n = 0;
  {
    const py::gil_scoped_release release;
    const TaggedSentences in = sentences.view();
    for (std::int64_t s = 0; s < in.n_sentences; ++s) {
      if (strict) {
        strict_spans(in.tags, in.offsets[s], in.offsets[s + 1], arrays.table(), kind, &found);
      } else {
        lenient_spans(in.tags, in.offsets[s], in.offsets[s + 1], arrays.table(), &found);
      }
    }
    n = found.size();
    for (auto& column : columns) column.reset(new std::int64_t[n]);
    for (std::size_t i = 0; i < n; ++i) {
      columns[0][i] = found[i].start;
      columns[1][i] = found[i].end;
      columns[2][i] = found[i].type;
    }
  }
  const auto size = static_cast<std::int64_t>(n);
  return py::make_tuple(to_numpy(std::move(columns[0]), size), to_numpy(std::move(columns[1]), size),
                        to_numpy(std::move(columns[2]), size));
}

struct ScoringArrays {
  TagArrays gold_tags;
  TagArrays predicted_tags;
  SentenceArrays gold;
  SentenceArrays predicted;
  std::int64_t n_types;

  ScoringArrays(const py::tuple& gold_side, const py::tuple& predicted_side, const py::object& offsets,
                std::int64_t types)
      : gold_tags(gold_side[1], gold_side[2], types),
        predicted_tags(predicted_side[1], predicted_side[2], types),
        gold(gold_side[0], offsets, gold_tags.prefix.size(), "gold"),
        predicted(predicted_side[0], offsets, predicted_tags.prefix.size(), "predicted"),
        n_types(types) {}

  ScoringInput input() const {
    return {gold.tags.data(),
            predicted.tags.data(),
            gold.offsets.data(),
            gold.offsets.size() - 1,
            gold_tags.table(),
            predicted_tags.table(),
            n_types};
  }
};

// Sides are (tag ids, prefix, type, key): key numbers the strings of both sides alike.
py::tuple score(const py::tuple& gold, const py::tuple& predicted, const py::object& offsets,
                std::int64_t n_types, const std::string& rule, int scheme, std::int64_t n_rows) {
  const ScoringArrays arrays(gold, predicted, offsets, n_types);
  const Scheme kind = scheme_of(scheme);
  const auto gold_name = vector_of<std::int32_t>(gold[3], "gold name");
  const auto predicted_name = vector_of<std::int32_t>(predicted[3], "predicted name");
  const auto gold_key = vector_of<std::int32_t>(gold[4], "gold key");
  const auto predicted_key = vector_of<std::int32_t>(predicted[4], "predicted key");
  const auto check = [&](const py::array_t<std::int32_t>& key, std::int64_t n_tags, const char* name) {
    if (key.size() != n_tags) throw py::value_error(std::string(name) + ": expected one per tag");
    for (std::int64_t i = 0; i < n_tags; ++i) {
      if (key.data()[i] >= n_rows) throw py::value_error(std::string(name) + ": out of range");
    }
  };
  check(gold_key, arrays.gold_tags.prefix.size(), "gold key");
  check(predicted_key, arrays.predicted_tags.prefix.size(), "predicted key");
  if (gold_name.size() != gold_key.size() || predicted_name.size() != predicted_key.size()) {
    throw py::value_error("name: expected one per tag");
  }
  const std::int64_t rows = rule == "token" ? n_rows : n_types + 1;
  py::array_t<std::int64_t> counts({rows, std::int64_t{3}});
  std::int64_t* out = counts.mutable_data();
  std::int64_t equal = 0;
  {
    const py::gil_scoped_release release;
    std::fill(out, out + 3 * rows, 0);
    const ScoringInput in = arrays.input();
    if (rule == "token") {
      score_tokens(in, gold_key.data(), predicted_key.data(), out);
    } else {
      score_chunks(in, rule == "strict", kind, out);
    }
    equal = count_equal(in, gold_name.data(), predicted_name.data());
  }
  return py::make_tuple(counts, equal);
}

}  // namespace

void register_tags(py::module_& m) {
  m.def("find_illegal_tags", &illegal, py::arg("tag_ids"), py::arg("sentence_offsets"), py::arg("prefix"),
        py::arg("type"), py::arg("scheme"),
        "(illegal tags, first of them or -1, chunks begun by B, chunks begun by I)");
  m.def("convert_tags", &convert, py::arg("tag_ids"), py::arg("sentence_offsets"), py::arg("prefix"),
        py::arg("type"), py::arg("n_types"), py::arg("scheme"),
        "(ids by first appearance, the code of each id; see tags.h)");
  m.def("find_spans", &spans, py::arg("tag_ids"), py::arg("sentence_offsets"), py::arg("prefix"),
        py::arg("type"), py::arg("strict"), py::arg("scheme"), "(start, end, type) of every chunk");
  m.def("score_tags", &score, py::arg("gold"), py::arg("predicted"), py::arg("sentence_offsets"),
        py::arg("n_types"), py::arg("rule"), py::arg("scheme"), py::arg("n_rows"),
        "(tp, fp, fn per row, tokens with equal tags)");
}

}  // namespace bioner
