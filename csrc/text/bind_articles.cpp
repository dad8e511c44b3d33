#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>

#include "text/articles.h"
#include "text/bind_support.h"
#include "text/register.h"

namespace bioner {

namespace {

// The beginning of `struct PyExpat_CAPI` of Python's pyexpat.h, which only ever grows at its end.
struct ExpatCapsule {
  const char* magic;
  int size;
  int major, minor, micro;
  void* error_string;
  void* error_code;
  void* error_column;
  void* error_line;
  decltype(Expat::parse) parse;
  decltype(Expat::create) create;
  decltype(Expat::free) free;
  decltype(Expat::set_characters) set_characters;
  void* set_comment;
  void* set_default;
  decltype(Expat::set_elements) set_elements;
  void* set_namespaces;
  void* set_instructions;
  void* set_unknown_encoding;
  decltype(Expat::set_data) set_data;
  decltype(Expat::set_doctype) set_doctype;
};

Expat find_expat() {
  const py::object capsule = py::module_::import("pyexpat").attr("expat_CAPI");
  const auto* const found =
      static_cast<const ExpatCapsule*>(PyCapsule_GetPointer(capsule.ptr(), "pyexpat.expat_CAPI"));
  if (found == nullptr) throw py::error_already_set();
  if (std::strcmp(found->magic, "pyexpat.expat_CAPI 1.1") != 0 ||
      found->size < static_cast<int>(sizeof(ExpatCapsule))) {
    throw py::import_error("pyexpat hands out another expat than was expected");
  }
  return {found->parse,        found->create,   found->free,       found->set_characters,
          found->set_elements, found->set_data, found->set_doctype};
}

// One reader of one file.
class ArticleReader {
 public:
  ArticleReader(const std::string& format, std::int64_t limit) : articles_(make(format)) {
    reader_ = std::make_unique<XmlReader>(
        find_expat(), format == "pubmed-xml" ? pubmed_format() : jats_format(), *articles_, limit);
  }

  // The articles that are whole now, and whether it goes on.
  py::tuple feed(const py::bytes& data) {
    char* bytes = nullptr;
    py::ssize_t size = 0;
    if (PyBytes_AsStringAndSize(data.ptr(), &bytes, &size) != 0) throw py::error_already_set();
    bool good = false;
    {
      const py::gil_scoped_release release;
      good = reader_->feed({bytes, static_cast<std::size_t>(size)});
    }
    return py::make_tuple(take(), good);
  }

  py::tuple finish() {
    bool good = false;
    {
      const py::gil_scoped_release release;
      good = reader_->finish();
    }
    return py::make_tuple(take(), good);
  }

  py::bytes rest() const { return py::bytes(reader_->rest()); }

 private:
  static std::unique_ptr<Articles> make(const std::string& format) {
    if (format == "pubmed-xml") return std::make_unique<PubmedArticles>();
    if (format == "jats" || format == "jats-tables") {
      return std::make_unique<JatsArticles>(format == "jats-tables");
    }
    throw py::value_error("format: expected pubmed-xml, jats or jats-tables, got " + format);
  }

  // Strings that come again and again are made once.
  py::object shared(std::string_view text) {
    const auto at = shared_.find(std::string(text));
    if (at != shared_.end()) return at->second;
    py::str made(text.data(), text.size());
    if (shared_.size() < 1000) shared_.emplace(text, made);
    return made;
  }

  py::dict to_dict(const Infons& infons) {
    py::dict made;
    for (const auto& [key, value] : infons) made[shared(key)] = py::str(value);
    return made;
  }

  py::list take() {
    py::list result;
    for (const Article& one : articles_->found) {
      py::list passages(one.passages.size());
      for (std::size_t i = 0; i < one.passages.size(); ++i) {
        const ArticlePassage& passage = one.passages[i];
        passages[i] = py::make_tuple(py::str(passage.text), passage.offset, shared(passage.section),
                                     to_dict(passage.infons));
      }
      result.append(py::make_tuple(shared(one.tag), one.line, one.is_article, py::str(one.id),
                                   shared(one.version), passages, to_dict(one.infons)));
    }
    articles_->found.clear();
    return result;
  }

  std::unique_ptr<Articles> articles_;
  std::unique_ptr<XmlReader> reader_;
  std::unordered_map<std::string, py::object> shared_;
};

}  // namespace

void register_articles(py::module_& m) {
  py::class_<ArticleReader>(m, "ArticleReader")
      .def(py::init<const std::string&, std::int64_t>(), py::arg("format"), py::arg("limit"))
      .def("feed", &ArticleReader::feed, py::arg("data"),
           "(articles that are whole now: (tag, line, is article, id, version, passages, infons), whether it "
           "goes on).")
      .def("finish", &ArticleReader::finish, "The same at the end of the file.")
      .def("rest", &ArticleReader::rest, "What was not read, as a file of its own.");
}

}  // namespace bioner
