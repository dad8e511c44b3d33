// Articles of PubMed XML; python/bioner_fast/formats/pubmed_xml.py says the same, and is asked where in
// doubt.
#include <algorithm>
#include <optional>

#include "text/articles.h"

namespace bioner {

namespace {

enum Name : int {
  kOther,
  kPubmedArticle,
  kPubmedBookArticle,
  kMedlineCitation,
  kBookDocument,
  kPmid,
  kArticle,
  kArticleTitle,
  kBook,
  kBookTitle,
  kAbstract,
  kAbstractText,
  kVernacularTitle,
  kLanguage,
  kOtherAbstract,
  kJournal,
  kIsoAbbreviation,
  kTitle,
  kJournalIssue,
  kPubDate,
  kYear,
  kMedlineDate,
  kArticleIdList,
  kArticleId,
  kPubmedData,
  kMath,
  kAnnotation,
  kAnnotationXml,
  kArticleSet,
  kBookArticleSet,
  kCitationSet,
  kMeshHeadingList,
  kAuthorList,
  kChemicalList,
  kReferenceList,
  kHistory,
  kCommentsCorrectionsList,
  kKeywordList,
  kGrantList,
  kDateCompleted,
  kDateRevised,
  kMedlineJournalInfo,
  kPublicationTypeList,
};

XmlFormat make_format() {
  XmlFormat format;
  format.names = {
      "",
      "PubmedArticle",
      "PubmedBookArticle",
      "MedlineCitation",
      "BookDocument",
      "PMID",
      "Article",
      "ArticleTitle",
      "Book",
      "BookTitle",
      "Abstract",
      "AbstractText",
      "VernacularTitle",
      "Language",
      "OtherAbstract",
      "Journal",
      "ISOAbbreviation",
      "Title",
      "JournalIssue",
      "PubDate",
      "Year",
      "MedlineDate",
      "ArticleIdList",
      "ArticleId",
      "PubmedData",
      "http://www.w3.org/1998/Math/MathML\tmath",
      "http://www.w3.org/1998/Math/MathML\tannotation",
      "http://www.w3.org/1998/Math/MathML\tannotation-xml",
      "PubmedArticleSet",
      "PubmedBookArticleSet",
      "MedlineCitationSet",
      "MeshHeadingList",
      "AuthorList",
      "ChemicalList",
      "ReferenceList",
      "History",
      "CommentsCorrectionsList",
      "KeywordList",
      "GrantList",
      "DateCompleted",
      "DateRevised",
      "MedlineJournalInfo",
      "PublicationTypeList",
  };
  format.kinds.assign(format.names.size(), XmlFormat::kPlain);
  format.kinds[kPubmedArticle] = format.kinds[kPubmedBookArticle] = XmlFormat::kRoot | XmlFormat::kDocument;
  format.kinds[kMedlineCitation] = XmlFormat::kDocument;
  format.kinds[kArticleSet] = format.kinds[kBookArticleSet] = format.kinds[kCitationSet] = XmlFormat::kRoot;
  for (int name = kMeshHeadingList; name <= kPublicationTypeList; ++name) {
    for (const int parent : {kMedlineCitation, kArticle, kPubmedData})
      format.skipped.emplace_back(parent, name);
  }
  return format;
}

// The text of MathML: its leaves, which stand apart in the file, without alternatives in TeX.
void add_math(const XmlTree& tree, int node, std::string& out) {
  for (int child = tree[node].child; child >= 0; child = tree[child].next) {
    if (tree[child].name == kAnnotation || tree[child].name == kAnnotationXml) continue;
    if (tree[child].child >= 0) {
      add_math(tree, child, out);
    } else {
      out += strip(tree.text(child));
    }
  }
}

void add_plain(const XmlTree& tree, int node, std::string& out) {
  out += tree.text(node);
  for (int child = tree[node].child; child >= 0; child = tree[child].next) {
    if (tree[child].name == kMath) {
      add_math(tree, child, out);
    } else {
      add_plain(tree, child, out);
    }
    out += tree.tail(child);
  }
}

void add(const XmlTree& tree, int node, const char* section, Infons infons, Article& article) {
  if (node < 0) return;
  std::string text;
  add_plain(tree, node, text);
  article.add(without_layout(text), section, std::move(infons));
}

void add_abstract(const XmlTree& tree, int node, const Infons& infons, Article& article) {
  if (node < 0) return;
  for (int part = tree[node].child; part >= 0; part = tree[part].next) {
    if (tree[part].name != kAbstractText) continue;
    Infons own = infons;
    if (const auto label = tree.attribute(part, "Label"); !label.empty()) own.emplace_back("label", label);
    if (const auto category = tree.attribute(part, "NlmCategory"); !category.empty()) {
      own.emplace_back("nlm_category", category);
    }
    add(tree, part, infons.empty() ? "abstract" : "other abstract", std::move(own), article);
  }
}

// Old articles have the year only inside a phrase ("1998 Dec-1999 Jan").
std::string_view year(const XmlTree& tree, int article) {
  int date = tree.find(article, {kJournal, kJournalIssue, kPubDate});
  if (date < 0) date = tree.find(article, {kBook, kPubDate});
  if (date < 0) return {};
  if (const auto year = tree.text_of(date, {kYear}); !year.empty()) return year;
  const auto phrase = tree.text_of(date, {kMedlineDate});
  std::size_t digits = 0;
  for (std::size_t i = 0; i < phrase.size(); ++i) {
    digits = phrase[i] >= '0' && phrase[i] <= '9' ? digits + 1 : 0;
    if (digits == 4) return phrase.substr(i - 3, 4);
  }
  return {};
}

void set(Infons& infons, const char* key, std::string_view value) {
  const auto at = std::find_if(infons.begin(), infons.end(),
                               [&](const auto& one) { return std::string_view(one.first) == key; });
  if (at != infons.end()) {
    at->second = value;
  } else {
    infons.emplace_back(key, value);
  }
}

Infons infons_of(const XmlTree& tree, int citation, int article, std::string_view language) {
  Infons infons;
  auto journal = tree.text_of(article, {kJournal, kIsoAbbreviation});
  if (journal.empty()) journal = tree.text_of(article, {kJournal, kTitle});
  set(infons, "journal", journal);
  set(infons, "year", year(tree, article));
  set(infons, "language", language);
  const int parent = tree[citation].parent;
  for (const int list : {tree.find(citation, kArticleIdList),
                         parent < 0 ? -1 : tree.find(parent, {kPubmedData, kArticleIdList})}) {
    if (list < 0) continue;
    for (int entry = tree[list].child; entry >= 0; entry = tree[entry].next) {
      if (tree[entry].name != kArticleId) continue;
      const auto kind = tree.attribute(entry, "IdType");
      for (const char* known : {"doi", "pmc", "bookaccession"}) {
        if (kind == known) set(infons, known, tree.text(entry));
      }
    }
  }
  Infons kept;
  for (const auto& [key, value] : infons) {
    if (const auto bare = strip(value); !bare.empty()) kept.emplace_back(key, bare);
  }
  return kept;
}

}  // namespace

const XmlFormat& pubmed_format() {
  static const XmlFormat format = make_format();
  return format;
}

void PubmedArticles::take(const XmlTree& tree, std::string_view bytes, std::int64_t line) {
  Article& article = found.emplace_back();
  const int name = tree[0].name;
  article.tag = pubmed_format().names[static_cast<std::size_t>(name)];
  int citation = 0;
  if (name != kMedlineCitation) {
    citation = tree.find(0, kMedlineCitation);
    if (citation < 0) citation = tree.find(0, kBookDocument);
  }
  article.is_article = citation >= 0;
  int named = -1;
  if (article.is_article && (named = tree.find(citation, kPmid)) >= 0) {
    article.id = strip(tree.text(named));
    article.version = strip(tree.attribute(named, "Version", "1"));
  }
  if (article.id.empty() || (article.version != "1" && !article.version.empty())) {
    // Somebody asks for the line: that on which the start tag ends.
    const auto start = find_start_tag(bytes, article.tag);
    const auto end = std::min(bytes.find('>', start), bytes.size());
    article.line = line + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(end), '\n');
  }
  if (article.id.empty()) return;
  const bool book = tree[citation].name == kBookDocument;
  const int inner = book ? citation : tree.find(citation, kArticle);
  if (inner < 0) return;
  int title = tree.find(inner, kArticleTitle);
  if (title < 0 && book) title = tree.find(inner, {kBook, kBookTitle});
  add(tree, title, "title", {}, article);
  add_abstract(tree, tree.find(inner, kAbstract), {}, article);
  const auto language = tree.text_of(inner, {kLanguage});
  Infons vernacular;
  if (!language.empty()) vernacular.emplace_back("language", language);
  add(tree, tree.find(inner, kVernacularTitle), "vernacular title", std::move(vernacular), article);
  for (int other = tree[citation].child; other >= 0; other = tree[other].next) {
    if (tree[other].name != kOtherAbstract) continue;
    Infons infons;
    if (const auto own = tree.attribute(other, "Language"); !own.empty())
      infons.emplace_back("language", own);
    if (const auto type = tree.attribute(other, "Type"); !type.empty())
      infons.emplace_back("abstract_type", type);
    add_abstract(tree, other, infons, article);
  }
  article.infons = infons_of(tree, citation, inner, language);
}

}  // namespace bioner
