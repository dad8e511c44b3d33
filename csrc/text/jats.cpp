// Articles of JATS; python/bioner_fast/formats/jats.py says the same, and is asked where in doubt.
#include <algorithm>
#include <array>
#include <string>

#include "text/articles.h"
#include "text/unicode.h"

namespace bioner {

namespace {

enum Name : int {
  kOther,
  kArticle,
  kArticleSet,
  kArticles,
  kFront,
  kFrontStub,
  kBody,
  kBack,
  kFloatsGroup,
  kArticleId,
  kTitleGroup,
  kArticleTitle,
  kAbstract,
  kTransAbstract,
  kJournalTitle,
  kPubDate,
  kYear,
  kTitle,
  kSec,
  kAppGroup,
  kApp,
  kAck,
  kBoxedText,
  kFig,
  kFigGroup,
  kTableWrap,
  kTableWrapGroup,
  kList,
  kDispQuote,
  kDefList,
  kP,
  kDispFormula,
  kVerseLine,
  kAttrib,
  kTerm,
  kTd,
  kTh,
  kPreformat,
  kTr,
  kCaption,
  kXref,
  kBreak,
  kAlternatives,
  kMath,
  kAnnotation,
  kAnnotationXml,
  kTexMath,
  kGraphic,
  kInlineGraphic,
  kMedia,
  kObjectId,
  kLabel,
  kRefList,
  kFnGroup,
  kFn,
  kSecMeta,
  kSupplementaryMaterial,
};

XmlFormat make_format() {
  XmlFormat format;
  format.names = {
      "",
      "article",
      "pmc-articleset",
      "articles",
      "front",
      "front-stub",
      "body",
      "back",
      "floats-group",
      "article-id",
      "title-group",
      "article-title",
      "abstract",
      "trans-abstract",
      "journal-title",
      "pub-date",
      "year",
      "title",
      "sec",
      "app-group",
      "app",
      "ack",
      "boxed-text",
      "fig",
      "fig-group",
      "table-wrap",
      "table-wrap-group",
      "list",
      "disp-quote",
      "def-list",
      "p",
      "disp-formula",
      "verse-line",
      "attrib",
      "term",
      "td",
      "th",
      "preformat",
      "tr",
      "caption",
      "xref",
      "break",
      "alternatives",
      "http://www.w3.org/1998/Math/MathML\tmath",
      "http://www.w3.org/1998/Math/MathML\tannotation",
      "http://www.w3.org/1998/Math/MathML\tannotation-xml",
      "tex-math",
      "graphic",
      "inline-graphic",
      "media",
      "object-id",
      "label",
      "ref-list",
      "fn-group",
      "fn",
      "sec-meta",
      "supplementary-material",
  };
  format.kinds.assign(format.names.size(), XmlFormat::kPlain);
  format.kinds[kArticle] = XmlFormat::kRoot | XmlFormat::kDocument;
  format.kinds[kArticleSet] = format.kinds[kArticles] = XmlFormat::kRoot;
  format.skipped = {{kBack, kRefList}, {kBack, kFnGroup}};
  return format;
}

bool is_left_out(int name) { return name >= kTexMath && name <= kFn; }
bool is_apart(int name) { return name >= kBoxedText && name <= kDefList; }

// Stands for a mark that calls out a reference or a note, until its brackets are cut with it.
constexpr char32_t kCall = 0xE000;
constexpr std::string_view kCallBytes = "\xEE\x80\x80";
constexpr std::string_view kReplacementBytes = "\xEF\xBF\xBD";

bool is_white(char32_t c) { return (character_classes()[c] & kSpace) != 0; }

// Where a mark's brackets begin that say no more than "see" of it; npos if they do not.
std::size_t open_round(const std::u32string& text, std::size_t low, std::size_t call) {
  const auto back = [&](std::size_t at) {
    while (at > low && is_white(text[at - 1])) --at;
    return at;
  };
  const std::size_t before = back(call);
  if (before > low && text[before - 1] == U'(') return before - 1;
  if (before == call) return text.npos;
  static const std::array<std::u32string_view, 8> kLeads = {U"see",  U"See", U"see also",    U"See also",
                                                            U"e.g.", U"cf.", U"reviewed in", U"Reviewed in"};
  const std::size_t end = before > low && text[before - 1] == U',' ? before - 1 : before;
  for (const auto lead : kLeads) {
    if (end < low + lead.size() || text.compare(end - lead.size(), lead.size(), lead) != 0) continue;
    const std::size_t at = back(end - lead.size());
    if (at > low && text[at - 1] == U'(') return at - 1;
  }
  return text.npos;
}

// The text without the marks, what separates them, their brackets, and the white space before.
std::string without_calls(std::string_view utf8) {
  std::u32string text;
  text.reserve(utf8.size());
  for (const char *p = utf8.data(), *end = p + utf8.size(); p < end;) text += next_code_point(p, end);
  std::u32string out;
  std::size_t done = 0;
  for (auto call = text.find(kCall); call != text.npos; call = text.find(kCall, done)) {
    std::size_t end = call + 1;
    for (std::size_t at = end; at < text.size(); ++at) {
      const char32_t c = text[at];
      if (c == kCall) {
        end = at + 1;
      } else if (!is_white(c) && c != U',' && c != U';' && c != U'-' && c != 0x2013) {
        break;
      }
    }
    const auto back = [&](std::size_t at) {
      while (at > done && is_white(text[at - 1])) --at;
      return at;
    };
    std::size_t close = end;
    const auto ahead = [&] {
      while (close < text.size() && is_white(text[close])) ++close;
    };
    ahead();
    if (close < text.size() && (text[close] == U',' || text[close] == U';')) ++close;
    ahead();
    const char32_t bracket = close < text.size() ? text[close] : 0;
    std::size_t begin = text.npos;
    if (bracket == U']') {
      const std::size_t before = back(call);
      if (before > done && text[before - 1] == U'[') begin = before - 1;
    } else if (bracket == U')') {
      begin = open_round(text, done, call);
    }
    if (begin != text.npos) {
      begin = back(begin);
      end = close + 1;
    } else {
      begin = back(call);
      if (begin > done && (text[begin - 1] == U',' || text[begin - 1] == U';')) begin = back(begin - 1);
    }
    out.append(text, done, begin - done);
    done = end;
  }
  out.append(text, done, text.npos);
  std::string result;
  result.reserve(utf8.size());
  for (const char32_t c : out) append_utf8(c, result);
  return result;
}

// One article while it is read.
class Reading {
 public:
  Reading(const XmlTree& tree, bool cells, Article& article)
      : tree_(tree), cells_(cells), article_(article) {}

  void read() {
    int front = tree_.find(0, kFront);
    if (front < 0) front = tree_.find(0, kFrontStub);
    identify();
    if (front >= 0) {
      read_front(front);
      read_infons(front);
    }
    for (const int part : {kBody, kBack, kFloatsGroup}) {
      const int holder = tree_.find(0, part);
      if (holder < 0) continue;
      for (int child = tree_[holder].child; child >= 0; child = tree_[child].next) {
        const int name = tree_[child].name;
        if (part == kBack && name != kAppGroup && name != kApp && name != kSec && name != kAck) continue;
        block(child, {}, "");
      }
    }
  }

 private:
  // Calls `use` with every element below `node` that is called `name`, in order; stops where it says true.
  template <typename Use>
  bool below(int node, int name, const Use& use) const {
    for (int child = tree_[node].child; child >= 0; child = tree_[child].next) {
      if (tree_[child].name == name && use(child)) return true;
      if (below(child, name, use)) return true;
    }
    return false;
  }

  void identify() {
    for (int front = tree_[0].child; front >= 0; front = tree_[front].next) {
      if (tree_[front].name != kFront) continue;
      below(front, kArticleId, [&](int entry) {
        const auto type = tree_.attribute(entry, "pub-id-type");
        const auto value = strip(tree_.text(entry));
        std::string* const known = type == "pmc" || type == "pmcid" ? &pmcid_
                                   : type == "pmid"                 ? &pmid_
                                   : type == "doi"                  ? &doi_
                                                                    : nullptr;
        if (known != nullptr && known->empty()) *known = value;
        return false;
      });
    }
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!pmcid_.empty() && std::all_of(pmcid_.begin(), pmcid_.end(), is_digit)) pmcid_.insert(0, "PMC");
    article_.id = !pmcid_.empty() ? pmcid_ : !pmid_.empty() ? pmid_ : doi_;
  }

  void read_front(int front) {
    int title = -1;
    below(front, kTitleGroup, [&](int group) { return (title = tree_.find(group, kArticleTitle)) >= 0; });
    add(title, "title", {}, "TITLE", "title", {});
    for (const int name : {kAbstract, kTransAbstract}) {
      below(front, name, [&](int abstract) {
        for (int child = tree_[abstract].child; child >= 0; child = tree_[child].next) {
          if (tree_[child].name != kTitle || !says_abstract(child)) block(child, {}, "ABSTRACT");
        }
        return false;
      });
    }
  }

  void read_infons(int front) {
    std::string_view journal, year;
    below(front, kJournalTitle, [&](int node) {
      journal = tree_.text(node);
      return true;
    });
    below(front, kPubDate, [&](int date) {
      const int found = tree_.find(date, kYear);
      if (found >= 0) year = tree_.text(found);
      return found >= 0;
    });
    for (const auto& [key, value] : {std::pair<const char*, std::string_view>{"pmcid", pmcid_},
                                     {"pmid", pmid_},
                                     {"doi", doi_},
                                     {"journal", journal},
                                     {"year", year}}) {
      if (const auto bare = strip(value); !bare.empty()) article_.infons.emplace_back(key, bare);
    }
  }

  void add_all(int node, std::string& out) const {
    out += tree_.text(node);
    for (int child = tree_[node].child; child >= 0; child = tree_[child].next) {
      add_all(child, out);
      out += tree_.tail(child);
    }
  }

  bool says_abstract(int title) const {
    std::string text;
    add_all(title, text);
    std::string bare(strip(text));
    for (char& c : bare) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
    while (!bare.empty() && (bare.back() == ':' || bare.back() == '.')) bare.pop_back();
    return bare == "abstract" || bare == "summary";
  }

  void block(int node, const std::vector<std::string>& path, const std::string& kind) {
    const int name = tree_[node].name;
    if (is_left_out(name) || name == kSecMeta || name == kSupplementaryMaterial) return;
    switch (name) {
      case kSec:
      case kApp:
      case kAck:
      case kAppGroup:
      case kBoxedText:
        return section(node, path, kind);
      case kFig:
      case kTableWrap:
        return floating(node, path);
      case kTitle:
        return add(node, "", path, kind, "title", {});
      case kP:
      case kDispFormula:
      case kVerseLine:
      case kAttrib:
      case kTerm:
      case kTd:
      case kTh:
      case kPreformat:
        add(node, "", path, kind, "paragraph", {});
        return apart(node, path, kind);
      default:
        for (int child = tree_[node].child; child >= 0; child = tree_[child].next) block(child, path, kind);
    }
  }

  // Figures, tables and lists within a paragraph become passages of their own, behind it.
  void apart(int node, const std::vector<std::string>& path, const std::string& kind) {
    for (int child = tree_[node].child; child >= 0; child = tree_[child].next) {
      if (is_apart(tree_[child].name)) {
        block(child, path, kind);
      } else {
        apart(child, path, kind);
      }
    }
  }

  void section(int node, const std::vector<std::string>& path, std::string kind) {
    const int heading = tree_.find(node, kTitle);
    const std::string name = heading < 0 ? std::string() : text_of(heading);
    if (path.empty() && kind != "ABSTRACT") {
      const std::string found = section_type(tree_.attribute(node, "sec-type"), name);
      if (!found.empty()) {
        kind = found;
      } else if (kind.empty()) {
        kind = "SECTION";
      }
    }
    std::vector<std::string> inner = path;
    if (!name.empty()) inner.push_back(name);
    for (int child = tree_[node].child; child >= 0; child = tree_[child].next) {
      block(child, child == heading ? path : inner, kind);
    }
  }

  static std::string section_type(std::string_view declared, std::string_view heading) {
    struct Kind {
      const char* name;
      std::vector<std::string_view> words;
    };
    static const std::vector<Kind> kKinds = {
        {"INTRO", {"intro", "background"}},
        {"METHODS", {"method", "material", "subjects", "experimental"}},
        {"RESULTS", {"result", "finding"}},
        {"DISCUSS", {"discussion"}},
        {"CONCL", {"conclu"}},
        {"CASE", {"case"}},
        {"SUPPL", {"supplement"}},
        {"ABBR", {"abbreviation"}},
    };
    for (const auto text : {declared, heading}) {
      std::string lower(text);
      for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
      for (const Kind& kind : kKinds) {
        for (const auto word : kind.words) {
          if (lower.find(word) != lower.npos) return kind.name;
        }
      }
    }
    return {};
  }

  void floating(int node, const std::vector<std::string>& path) {
    const bool figure = tree_[node].name == kFig;
    const std::string kind = figure ? "FIG" : "TABLE";
    Infons extra;
    if (const int label = tree_.find(node, kLabel); label >= 0) extra.emplace_back("label", text_of(label));
    if (const int caption = tree_.find(node, kCaption); caption >= 0) {
      for (int child = tree_[caption].child; child >= 0; child = tree_[child].next) {
        add(child, "", path, kind, figure ? "fig_caption" : "table_caption", extra);
      }
    }
    if (!cells_) return;
    int row_number = 0;
    below(node, kTr, [&](int row) {
      ++row_number;
      int column = 0;
      for (int cell = tree_[row].child; cell >= 0; cell = tree_[cell].next) {
        if (tree_[cell].name != kTd && tree_[cell].name != kTh) continue;
        Infons place = extra;
        place.emplace_back("row", std::to_string(row_number));
        place.emplace_back("column", std::to_string(++column));
        add(cell, "", path, kind, "table_cell", place);
      }
      return false;
    });
  }

  void add(int node, const char* section, const std::vector<std::string>& path, const std::string& kind,
           const char* role, const Infons& extra) {
    if (node < 0) return;
    std::string text = text_of(node);
    if (text.empty()) return;
    const std::string type = kind.empty() ? "SECTION" : kind;
    Infons infons = {{"section_type", type}, {"type", role}};
    infons.insert(infons.end(), extra.begin(), extra.end());
    if (!path.empty()) {
      std::string joined;
      for (const std::string& one : path) joined += (joined.empty() ? "" : " > ") + one;
      infons.emplace_back("path", std::move(joined));
    }
    const std::string name = *section != '\0' ? section : kind == "ABSTRACT" ? "abstract" : type;
    article_.add(std::move(text), name, std::move(infons));
  }

  std::string text_of(int node) const {
    std::string text;
    gather(node, text);
    if (text.find(kCallBytes) != text.npos) text = without_calls(text);
    return without_layout(text);
  }

  // A mark of our own that the file itself holds is none.
  static void append(std::string_view text, std::string& out) {
    std::size_t done = 0;
    for (auto at = text.find(kCallBytes); at != text.npos; at = text.find(kCallBytes, done)) {
      out.append(text.substr(done, at - done)).append(kReplacementBytes);
      done = at + kCallBytes.size();
    }
    out.append(text.substr(done));
  }

  void gather(int node, std::string& out) const {
    append(tree_.text(node), out);
    for (int child = tree_[node].child; child >= 0; child = tree_[child].next) {
      gather_child(child, out);
      append(tree_.tail(child), out);
    }
  }

  void gather_child(int child, std::string& out) const {
    const int name = tree_[child].name;
    if (name == kXref && is_call(tree_.attribute(child, "ref-type"))) {
      out += kCallBytes;
    } else if (name == kMath) {
      add_math(child, out);
    } else if (name == kBreak) {
      out += ' ';
    } else if (name == kAlternatives) {
      if (const int chosen = choose(child); chosen >= 0) gather_child(chosen, out);
    } else if (name == kDispFormula) {
      out += '\n';
      gather(child, out);
      out += '\n';
    } else if (!is_left_out(name) && !is_apart(name)) {
      gather(child, out);
    }
  }

  static bool is_call(std::string_view type) {
    return type == "bibr" || type == "fn" || type == "table-fn" || type == "aff" || type == "corresp" ||
           type == "author-notes";
  }

  // Of several forms of one thing MathML, else the first that is text.
  int choose(int alternatives) const {
    int first = -1;
    for (int child = tree_[alternatives].child; child >= 0; child = tree_[child].next) {
      const int name = tree_[child].name;
      if (name == kMath) return child;
      if (first < 0 && !is_left_out(name) && !is_apart(name)) first = child;
    }
    return first;
  }

  void add_math(int node, std::string& out) const {
    for (int child = tree_[node].child; child >= 0; child = tree_[child].next) {
      if (tree_[child].name == kAnnotation || tree_[child].name == kAnnotationXml) continue;
      if (tree_[child].child >= 0) {
        add_math(child, out);
      } else {
        out += strip(tree_.text(child));
      }
    }
  }

  const XmlTree& tree_;
  const bool cells_;
  Article& article_;
  std::string pmcid_, pmid_, doi_;
};

}  // namespace

const XmlFormat& jats_format() {
  static const XmlFormat format = make_format();
  return format;
}

void JatsArticles::take(const XmlTree& tree, std::string_view, std::int64_t) {
  Article& article = found.emplace_back();
  article.tag = "article";
  Reading(tree, cells_, article).read();
}

}  // namespace bioner
