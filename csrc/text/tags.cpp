#include "text/tags.h"

namespace bioner {

void lenient_spans(const std::int32_t* tags, std::int64_t begin, std::int64_t end, const TagTable& table,
                   std::vector<Span>* spans) {
  TagView previous;
  std::int64_t open = -1;
  for (std::int64_t i = begin; i <= end; ++i) {
    const TagView tag = i < end ? tag_view(table, tags[i]) : TagView{};
    const bool starts = chunk_starts(previous, tag);
    if (open >= 0 && (starts || chunk_ends(previous, tag))) {
      spans->push_back({open, i, previous.type});
      open = -1;
    }
    if (starts) open = i;
    previous = tag;
  }
}

void strict_spans(const std::int32_t* tags, std::int64_t begin, std::int64_t end, const TagTable& table,
                  Scheme scheme, std::vector<Span>* spans) {
  TagView previous;
  std::int64_t open = -1;
  for (std::int64_t i = begin; i <= end; ++i) {
    const TagView tag = i < end ? tag_view(table, tags[i]) : TagView{};
    const bool continues = open >= 0 && tag.type == previous.type &&
                           (tag.prefix == kInside || (scheme == Scheme::kIobes && tag.prefix == kEnd));
    if (continues) {
      if (tag.prefix == kEnd) {
        spans->push_back({open, i + 1, tag.type});
        open = -1;
      }
      previous = tag;
      continue;
    }
    // Under IOBES an open chunk that meets no E is none; under IOB it ends here.
    if (open >= 0 && scheme != Scheme::kIobes) spans->push_back({open, i, previous.type});
    open = -1;
    switch (scheme) {
      case Scheme::kIob1:
        // B only separates neighbours of one type; elsewhere I starts the chunk.
        if (tag.prefix == kInside ||
            (tag.prefix == kBegin && tag.type == previous.type && previous.prefix != kOutside))
          open = i;
        break;
      case Scheme::kIob2:
        if (tag.prefix == kBegin) open = i;
        break;
      case Scheme::kIobes:
        if (tag.prefix == kBegin) open = i;
        if (tag.prefix == kSingle) spans->push_back({i, i + 1, tag.type});
        break;
    }
    previous = tag;
  }
}

namespace {

bool legal(TagView previous, TagView tag, Scheme scheme) {
  const bool same_type =
      previous.prefix != kOutside && previous.prefix != kOther && previous.type == tag.type;
  switch (scheme) {
    case Scheme::kIob1:
      return tag.prefix != kBegin || same_type;
    case Scheme::kIob2:
      return tag.prefix != kInside || same_type;
    case Scheme::kIobes: {
      const bool is_open = previous.prefix == kBegin || previous.prefix == kInside;
      const bool continues = tag.prefix == kInside || tag.prefix == kEnd;
      return is_open == continues && (!continues || same_type);
    }
  }
  return true;
}

}  // namespace

IllegalTags find_illegal(const TaggedSentences& in, const TagTable& table, Scheme scheme) {
  IllegalTags found;
  for (std::int64_t s = 0; s < in.n_sentences; ++s) {
    TagView previous;
    const std::int64_t begin = in.offsets[s];
    const std::int64_t end = in.offsets[s + 1];
    for (std::int64_t i = begin; i < end; ++i) {
      const TagView tag = tag_view(table, in.tags[i]);
      const bool last_open =
          i + 1 == end && scheme == Scheme::kIobes && (tag.prefix == kBegin || tag.prefix == kInside);
      if (!legal(previous, tag, scheme) || last_open) {
        if (found.first < 0) found.first = i;
        ++found.count;
      }
      const bool follows_type = previous.prefix != kOutside && previous.type == tag.type;
      found.starts_with_begin += tag.prefix == kBegin && !follows_type;
      found.starts_with_inside += tag.prefix == kInside && !follows_type;
      previous = tag;
    }
  }
  return found;
}

namespace {

// A neighbour of another type counts as outside, and so does a tag of no scheme.
Prefix convert_prefix(bool starts, bool follows_same_type, bool ends, Scheme scheme) {
  switch (scheme) {
    case Scheme::kIob1:
      return starts && follows_same_type ? kBegin : kInside;
    case Scheme::kIob2:
      return starts ? kBegin : kInside;
    case Scheme::kIobes:
      if (starts) return ends ? kSingle : kBegin;
      return ends ? kEnd : kInside;
  }
  return kOther;
}

}  // namespace

void convert_tags(const TaggedSentences& in, const TagTable& table, std::int32_t n_types, Scheme scheme,
                  std::int32_t* converted) {
  const auto view = [&](std::int64_t i) {
    const TagView tag = tag_view(table, in.tags[i]);
    return tag.prefix == kOther ? TagView{} : tag;
  };
  for (std::int64_t s = 0; s < in.n_sentences; ++s) {
    const std::int64_t end = in.offsets[s + 1];
    TagView previous;
    TagView tag = in.offsets[s] < end ? view(in.offsets[s]) : TagView{};
    for (std::int64_t i = in.offsets[s]; i < end; ++i) {
      const TagView next = i + 1 < end ? view(i + 1) : TagView{};
      if (tag.prefix != kOutside) {
        const bool starts = chunk_starts(previous, tag);
        // Ends where the next tag does not continue the chunk.
        const bool ends = next.prefix == kOutside || chunk_starts(tag, next);
        const bool follows_same_type = previous.prefix != kOutside && previous.type == tag.type;
        const Prefix prefix = convert_prefix(starts, follows_same_type, ends, scheme);
        const std::int32_t type = tag.type < 0 ? n_types : tag.type;
        converted[i] = 1 + 4 * type + (prefix - 1);
      } else if (table.prefix[in.tags[i]] == kOther) {
        converted[i] = 1 + 4 * (n_types + 1) + in.tags[i];
      } else {
        converted[i] = 0;
      }
      previous = tag;
      tag = next;
    }
  }
}

}  // namespace bioner
