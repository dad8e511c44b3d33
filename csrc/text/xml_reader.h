// XML, element by element, with libexpat: for files as they usually are.
//
// The reader takes the bytes of a file, cuts them behind the end tags of its documents, and gives each
// document as a small tree. It declines whatever is out of the ordinary: what is not well-formed, entities,
// another root, trees that are very deep, texts that are very long. rest() then is a file that begins with
// the document at which it stopped, under the same root and with the same line numbers, for a reader that
// says what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bioner {

// The functions of libexpat that are used; Python's pyexpat hands them out (its types are all char based).
struct Expat {
  using Parser = void*;
  using Start = void (*)(void*, const char*, const char**);
  using End = void (*)(void*, const char*);
  using Characters = void (*)(void*, const char*, int);
  using Doctype = void (*)(void*, const char*, const char*, const char*, int);

  int (*parse)(Parser, const char*, int, int) = nullptr;
  Parser (*create)(const char*, const void*, const char*) = nullptr;
  void (*free)(Parser) = nullptr;
  void (*set_characters)(Parser, Characters) = nullptr;
  void (*set_elements)(Parser, Start, End) = nullptr;
  void (*set_data)(Parser, void*) = nullptr;
  void (*set_doctype)(Parser, Doctype) = nullptr;
};

// Where the first start tag called `name` is, npos if there is none.
std::size_t find_start_tag(std::string_view bytes, std::string_view name);

// One document. Node 0 is its element; texts lie in one buffer.
class XmlTree {
 public:
  struct Text {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  struct Node {
    int name = 0;  // index in the names of the format, 0: none of them
    int parent = -1;
    int child = -1;  // first
    int last = -1;   // child
    int next = -1;   // sibling
    int attributes = 0;
    int attribute_count = 0;
    Text text;  // before the first child
    Text tail;  // behind the end tag
  };

  bool empty() const { return nodes_.empty(); }
  const Node& operator[](int node) const { return nodes_[static_cast<std::size_t>(node)]; }
  std::string_view text(int node) const { return view((*this)[node].text); }
  std::string_view tail(int node) const { return view((*this)[node].tail); }
  // Value of an attribute; `otherwise` where there is none.
  std::string_view attribute(int node, std::string_view name, std::string_view otherwise = {}) const;
  // The first child called `name`, -1 if there is none.
  int find(int node, int name) const;
  // The first at the end of a path of names.
  int find(int node, std::initializer_list<int> path) const;
  // text() of find(), empty where there is none.
  std::string_view text_of(int node, std::initializer_list<int> path) const;

 private:
  friend class XmlReader;

  std::string_view view(Text one) const {
    return std::string_view(buffer_).substr(one.begin, one.end - one.begin);
  }
  void clear();

  std::vector<Node> nodes_;
  std::vector<std::pair<Text, Text>> attributes_;
  std::string buffer_;
};

// What makes a format: its names, and which of them are roots and documents.
struct XmlFormat {
  enum Kind : std::uint8_t { kPlain = 0, kRoot = 1, kDocument = 2 };

  std::vector<std::string_view> names;  // [0] stands for all others; a namespace stands before, with a tab
  std::vector<std::uint8_t> kinds;      // of each name, bits of Kind
  std::vector<std::pair<int, int>> skipped;  // (parent, child): children that hold nothing that is read
};

class XmlReader {
 public:
  // What a document becomes; called with the tree, the file's bytes since the document before, and the line
  // on which these begin.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void take(const XmlTree& tree, std::string_view bytes, std::int64_t line) = 0;
    virtual void drop_last() = 0;
  };

  // `limit`: of bytes of a document, with 100 for every tag, as the other reader counts.
  XmlReader(const Expat& expat, const XmlFormat& format, Sink& sink, std::int64_t limit);
  ~XmlReader();
  XmlReader(const XmlReader&) = delete;
  XmlReader& operator=(const XmlReader&) = delete;

  // Take further bytes, or the end; false once it has declined.
  bool feed(std::string_view bytes);
  bool finish();
  // What nobody has read yet, as a file of its own.
  std::string rest() const;

 private:
  static void on_start(void* self, const char* name, const char** attributes);
  static void on_end(void* self, const char* name);
  static void on_characters(void* self, const char* text, int size);
  static void on_doctype(void* self, const char* name, const char* system, const char* id, int subset);

  void start(std::string_view name, const char** attributes);
  void end();
  void close_gap();
  bool parse(std::size_t end, bool last);
  bool advance();
  std::size_t find_documents();
  std::size_t end_of_document();

  Expat expat_;
  const XmlFormat& format_;
  Sink& sink_;
  std::int64_t limit_;
  Expat::Parser parser_;
  std::unordered_map<std::string_view, int> ids_;
  XmlTree tree_;

  std::string raw_;           // of the file, what is not read yet
  std::size_t base_ = 0;      // where in it the document before ends
  bool trimmed_ = false;      // raw_ is not the whole file any more
  std::string prefix_;        // what stands before the first document
  std::size_t parsed_ = 0;    // bytes of raw_ that the parser has had
  std::string document_;      // how the end tags of documents begin
  std::size_t searched_ = 0;  // up to where in raw_ there is none of them
  std::int64_t line_ = 0;     // line breaks before base_
  std::int64_t cost_ = 0;
  bool declined_ = false;
  bool begun_ = false;  // the prefix is known
  bool alone_ = false;  // the root is the document
  int depth_ = 0;
  int skipping_ = 0;    // depth inside a skipped element
  int node_ = -1;       // the open node
  int completed_ = 0;   // documents since the parser was last called
  bool after_ = false;  // text belongs behind `last_`, not into `node_`
  int last_ = -1;
  std::size_t gap_ = 0;  // where the text at hand begins
};

}  // namespace bioner
