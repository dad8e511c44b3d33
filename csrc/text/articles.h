// What articles in XML become: passages of plain text with what is known of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/xml_reader.h"

namespace bioner {

using Infons = std::vector<std::pair<const char*, std::string>>;

struct ArticlePassage {
  std::string text;
  std::int64_t offset = 0;  // code points
  std::string section;
  Infons infons;
};

struct Article {
  std::string tag;
  std::string id;
  std::string version;
  std::int64_t line = 0;  // of the document's element; 0 where nobody asks
  bool is_article = true;
  std::vector<ArticlePassage> passages;
  Infons infons;

  // Add a passage one character behind the last.
  void add(std::string text, std::string section, Infons infons);
};

// Collects the articles of a reader.
class Articles : public XmlReader::Sink {
 public:
  void drop_last() override { found.pop_back(); }
  std::vector<Article> found;
};

// UTF-8 without white space at its ends, as Python's str.strip().
std::string_view strip(std::string_view text);

// Line breaks and indentation of the file become one space; spaces alone are the author's, and stay.
std::string without_layout(std::string_view text);

const XmlFormat& pubmed_format();
class PubmedArticles final : public Articles {
 public:
  void take(const XmlTree& tree, std::string_view bytes, std::int64_t line) override;
};

const XmlFormat& jats_format();
class JatsArticles final : public Articles {
 public:
  explicit JatsArticles(bool cells) : cells_(cells) {}
  void take(const XmlTree& tree, std::string_view bytes, std::int64_t line) override;

 private:
  bool cells_;  // of tables, as passages
};

}  // namespace bioner
