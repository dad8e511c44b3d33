#include "text/xml_reader.h"

#include <algorithm>
#include <array>
#include <functional>
#include <new>

namespace bioner {

namespace {

// What the other reader refuses, or may: handed to it long before.
constexpr int kDeepest = 200;
constexpr std::size_t kLongestText = 9'000'000;
constexpr std::int64_t kTagCost = 100;
constexpr std::int64_t kChunk = 1 << 16;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Whether every reference is one that XML itself defines.
bool has_plain_references(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kKnown = {"amp;", "lt;", "gt;", "quot;", "apos;"};
  for (auto at = text.find('&'); at != text.npos; at = text.find('&', at + 1)) {
    const std::string_view name = text.substr(at + 1, 5);
    const bool known = name.substr(0, 1) == "#" || std::any_of(kKnown.begin(), kKnown.end(), [&](auto one) {
                         return name.substr(0, one.size()) == one;
                       });
    if (!known) return false;
  }
  return true;
}

}  // namespace

std::size_t find_start_tag(std::string_view bytes, std::string_view name) {
  std::string tag("<");
  tag += name;
  for (auto at = bytes.find(tag); at != bytes.npos; at = bytes.find(tag, at + 1)) {
    const std::size_t behind = at + tag.size();
    if (behind >= bytes.size()) break;
    if (is_space(bytes[behind]) || bytes[behind] == '>' || bytes[behind] == '/') return at;
  }
  return bytes.npos;
}

std::string_view XmlTree::attribute(int node, std::string_view name, std::string_view otherwise) const {
  const Node& one = (*this)[node];
  for (int i = 0; i < one.attribute_count; ++i) {
    const auto& [key, value] = attributes_[static_cast<std::size_t>(one.attributes + i)];
    if (view(key) == name) return view(value);
  }
  return otherwise;
}

int XmlTree::find(int node, int name) const {
  int child = (*this)[node].child;
  while (child >= 0 && (*this)[child].name != name) child = (*this)[child].next;
  return child;
}

int XmlTree::find(int node, std::initializer_list<int> path) const {
  const auto search = [&](const auto& self, int from, const int* step) -> int {
    if (step == path.end()) return from;
    for (int child = (*this)[from].child; child >= 0; child = (*this)[child].next) {
      if ((*this)[child].name != *step) continue;
      if (const int found = self(self, child, step + 1); found >= 0) return found;
    }
    return -1;
  };
  return search(search, node, path.begin());
}

std::string_view XmlTree::text_of(int node, std::initializer_list<int> path) const {
  const int found = find(node, path);
  return found < 0 ? std::string_view() : text(found);
}

void XmlTree::clear() {
  nodes_.clear();
  attributes_.clear();
  buffer_.clear();
}

XmlReader::XmlReader(const Expat& expat, const XmlFormat& format, Sink& sink, std::int64_t limit)
    : expat_(expat),
      format_(format),
      sink_(sink),
      limit_(limit),
      parser_(expat.create("UTF-8", nullptr, "\t")) {
  if (parser_ == nullptr) throw std::bad_alloc();
  expat_.set_data(parser_, this);
  expat_.set_elements(parser_, on_start, on_end);
  expat_.set_characters(parser_, on_characters);
  expat_.set_doctype(parser_, on_doctype);
  for (std::size_t i = 1; i < format_.names.size(); ++i) ids_.emplace(format_.names[i], static_cast<int>(i));
}

XmlReader::~XmlReader() { expat_.free(parser_); }

void XmlReader::on_start(void* self, const char* name, const char** attributes) {
  static_cast<XmlReader*>(self)->start(name, attributes);
}

void XmlReader::on_end(void* self, const char*) { static_cast<XmlReader*>(self)->end(); }

void XmlReader::on_characters(void* self, const char* text, int size) {
  auto* const reader = static_cast<XmlReader*>(self);
  if (reader->node_ >= 0 && reader->skipping_ == 0) {
    reader->tree_.buffer_.append(text, static_cast<std::size_t>(size));
  }
}

void XmlReader::on_doctype(void* self, const char*, const char*, const char*, int subset) {
  if (subset != 0) static_cast<XmlReader*>(self)->declined_ = true;
}

void XmlReader::close_gap() {
  const std::size_t end = tree_.buffer_.size();
  if (end - gap_ > kLongestText) declined_ = true;
  auto& nodes = tree_.nodes_;
  if (after_) {
    nodes[static_cast<std::size_t>(last_)].tail = {gap_, end};
  } else {
    nodes[static_cast<std::size_t>(node_)].text = {gap_, end};
  }
}

void XmlReader::start(std::string_view name, const char** attributes) {
  if (declined_) return;
  if (++depth_ > kDeepest) declined_ = true;
  if (skipping_ > 0) {
    ++skipping_;
    return;
  }
  const auto known = ids_.find(name);
  const int id = known == ids_.end() ? 0 : known->second;
  const std::uint8_t kind = format_.kinds[static_cast<std::size_t>(id)];
  if (depth_ == 1 && (kind & XmlFormat::kRoot) == 0) declined_ = true;
  const bool document = (kind & XmlFormat::kDocument) != 0;
  if (node_ < 0) {
    if (!document || declined_) return;
    if (depth_ == 1) alone_ = true;
    tree_.clear();
  } else {
    const int parent = tree_[node_].name;
    const auto skipped = std::find(format_.skipped.begin(), format_.skipped.end(), std::pair(parent, id));
    if (id != 0 && skipped != format_.skipped.end()) {
      skipping_ = 1;
      return;
    }
    // A document inside another, but as its child, is read by itself.
    if (document && (format_.kinds[static_cast<std::size_t>(parent)] & XmlFormat::kDocument) == 0) {
      declined_ = true;
    }
    close_gap();
  }
  XmlTree::Node node;
  node.name = id;
  node.parent = node_;
  node.attributes = static_cast<int>(tree_.attributes_.size());
  auto& buffer = tree_.buffer_;
  for (; *attributes != nullptr; attributes += 2, ++node.attribute_count) {
    const std::size_t key = buffer.size();
    buffer += attributes[0];
    const std::size_t value = buffer.size();
    buffer += attributes[1];
    if (buffer.size() - value > kLongestText) declined_ = true;
    tree_.attributes_.push_back({{key, value}, {value, buffer.size()}});
  }
  const int index = static_cast<int>(tree_.nodes_.size());
  if (node_ >= 0) {
    auto& parent = tree_.nodes_[static_cast<std::size_t>(node_)];
    (parent.child < 0 ? parent.child : tree_.nodes_[static_cast<std::size_t>(parent.last)].next) = index;
    parent.last = index;
  }
  tree_.nodes_.push_back(node);
  node_ = index;
  after_ = false;
  gap_ = buffer.size();
}

void XmlReader::end() {
  if (declined_) return;
  --depth_;
  if (skipping_ > 0) {
    --skipping_;
    return;
  }
  if (node_ < 0) return;
  close_gap();
  last_ = node_;
  node_ = tree_[node_].parent;
  after_ = true;
  gap_ = tree_.buffer_.size();
  if (node_ < 0) {
    ++completed_;
    sink_.take(tree_, std::string_view(raw_).substr(base_), line_ + 1);
  }
}

bool XmlReader::parse(std::size_t end, bool last) {
  const std::string_view piece = std::string_view(raw_).substr(parsed_, end - parsed_);
  constexpr std::size_t kMost = 1 << 30;
  if (piece.size() > kMost || !has_plain_references(piece)) declined_ = true;
  completed_ = 0;
  if (declined_) return false;
  const int status = expat_.parse(parser_, piece.data(), static_cast<int>(piece.size()), last ? 1 : 0);
  parsed_ = end;
  if (status == 0) declined_ = true;
  // Not counted where the root is the document: it is given at the very end.
  if (declined_ || completed_ > 1) {
    declined_ = true;
    for (; completed_ > 0; --completed_) sink_.drop_last();
  }
  return !declined_;
}

// Where the first start tag of a document is, npos if there is none yet; document_ becomes its end tag.
std::size_t XmlReader::find_documents() {
  std::size_t first = raw_.npos;
  for (std::size_t i = 1; i < format_.names.size(); ++i) {
    if ((format_.kinds[i] & XmlFormat::kDocument) == 0) continue;
    const auto at = find_start_tag(raw_, format_.names[i]);
    if (at >= first) continue;
    first = at;
    document_ = "</";
    document_ += format_.names[i];
  }
  return first;
}

// Behind the next end tag of a document like the first, npos if there is none yet.
std::size_t XmlReader::end_of_document() {
  // Find its letters from the back: most of the file is passed over.
  const std::boyer_moore_horspool_searcher searcher(document_.begin(), document_.end());
  const auto find = [&](std::size_t from) {
    const auto begin = raw_.begin() + static_cast<std::ptrdiff_t>(from);
    const auto found = std::search(begin, raw_.end(), searcher);
    return found == raw_.end() ? raw_.npos : static_cast<std::size_t>(found - raw_.begin());
  };
  std::size_t from = std::max(searched_, parsed_);
  while (true) {
    const auto at = find(from);
    if (at == raw_.npos) {
      searched_ = std::max(from, raw_.size() - std::min(raw_.size(), document_.size()));
      return raw_.npos;
    }
    std::size_t behind = at + document_.size();
    while (behind < raw_.size() && is_space(raw_[behind])) ++behind;
    searched_ = at;
    if (behind >= raw_.size()) return raw_.npos;  // the tag is not whole yet
    if (raw_[behind] == '>') return behind + 1;
    from = at + 1;
  }
}

bool XmlReader::advance() {
  if (!begun_) {
    const auto first = find_documents();
    if (first == raw_.npos) return true;
    if (!parse(first, false)) return false;
    // Neither in the prolog, before a root that is the document, nor right inside the root: nobody knows.
    if (depth_ > 1 || node_ >= 0) declined_ = true;
    begun_ = true;
    if (depth_ == 1) {
      prefix_ = raw_.substr(0, first);
    } else {
      alone_ = true;
    }
    if (declined_) return false;
  }
  if (alone_) return true;
  while (true) {
    const auto end = end_of_document();
    if (end == raw_.npos) return true;
    if (!parse(end, false)) return false;
    if (completed_ == 1) {
      if (node_ >= 0 || depth_ != 1) {
        sink_.drop_last();
        declined_ = true;
        return false;
      }
      const auto at = [&](std::size_t i) { return raw_.begin() + static_cast<std::ptrdiff_t>(i); };
      line_ += std::count(at(base_), at(end), '\n');
      base_ = end;
    }
  }
}

bool XmlReader::feed(std::string_view bytes) {
  const auto cost = [](std::string_view some) {
    return static_cast<std::int64_t>(some.size()) + kTagCost * std::count(some.begin(), some.end(), '<');
  };
  raw_ += bytes;
  if (declined_ || !advance()) return false;
  if (base_ > 0) {
    raw_.erase(0, base_);
    parsed_ -= base_;
    base_ = 0;
    trimmed_ = true;
    searched_ = 0;
    cost_ = cost(raw_);
  } else {
    cost_ += cost(bytes);
  }
  if (cost_ > limit_ + kChunk) declined_ = true;
  return !declined_;
}

bool XmlReader::finish() {
  if (!declined_) parse(raw_.size(), true);
  return !declined_;
}

std::string XmlReader::rest() const {
  if (!trimmed_ && base_ == 0) return raw_;
  const auto lines = line_ - std::count(prefix_.begin(), prefix_.end(), '\n');
  return prefix_ + std::string(static_cast<std::size_t>(lines), '\n') + raw_.substr(base_);
}

}  // namespace bioner
