// Tag schemes: where chunks begin and end, conversion between schemes, spans.
//
// A tag is known by its index k into two tables of the tag set: its prefix and its type. Tags that belong to
// no scheme (part-of-speech tags, strays in an IOB corpus) have the prefix kOther.
#pragma once

#include <cstdint>
#include <vector>

namespace bioner {

enum Prefix : std::uint8_t { kOutside = 0, kBegin = 1, kInside = 2, kEnd = 3, kSingle = 4, kOther = 5 };

enum class Scheme : std::uint8_t { kIob1 = 0, kIob2 = 1, kIobes = 2 };

struct TagTable {
  const std::uint8_t* prefix = nullptr;  // [n_tags]
  const std::int32_t* type = nullptr;    // [n_tags]; equal numbers mean equal types; -1 for the empty type
  std::int64_t n_tags = 0;
};

struct TaggedSentences {
  const std::int32_t* tags = nullptr;     // [offsets[n_sentences]], indices into the TagTable
  const std::int64_t* offsets = nullptr;  // [n_sentences + 1]
  std::int64_t n_sentences = 0;
};

struct TagView {
  Prefix prefix = kOutside;
  std::int32_t type = -1;
};

inline TagView tag_view(const TagTable& table, std::int32_t tag) {
  return {static_cast<Prefix>(table.prefix[tag]), table.type[tag]};
}

// The lenient rules of conlleval for a tag and the one before it in the sentence (outside at its start).
inline bool chunk_starts(TagView previous, TagView tag) {
  if (tag.prefix == kBegin || tag.prefix == kSingle) return true;
  if (tag.prefix == kOutside) return false;
  if (tag.type != previous.type) return true;
  return tag.prefix != kOther &&
         (previous.prefix == kOutside || previous.prefix == kEnd || previous.prefix == kSingle);
}

inline bool chunk_ends(TagView previous, TagView tag) {
  if (previous.prefix == kOutside) return false;
  if (previous.prefix == kEnd || previous.prefix == kSingle || previous.type != tag.type) return true;
  return tag.prefix == kBegin || tag.prefix == kSingle || tag.prefix == kOutside;
}

struct Span {
  std::int64_t start;  // token indices, end exclusive
  std::int64_t end;
  std::int32_t type;
  bool operator==(const Span&) const = default;
};

// Appends the chunks of tags[begin, end), one sentence, by the rules of conlleval.
void lenient_spans(const std::int32_t* tags, std::int64_t begin, std::int64_t end, const TagTable& table,
                   std::vector<Span>* spans);

// Appends only the chunks that are well-formed under the scheme: IOB2 B I*, IOBES S or B I* E.
void strict_spans(const std::int32_t* tags, std::int64_t begin, std::int64_t end, const TagTable& table,
                  Scheme scheme, std::vector<Span>* spans);

struct IllegalTags {
  std::int64_t count = 0;   // tags that may not follow the one before, or not end the sentence
  std::int64_t first = -1;  // token index of the first
  std::int64_t starts_with_begin =
      0;  // chunks that start with B though no chunk of their type is before them
  std::int64_t starts_with_inside = 0;  // chunks that start with I
};

IllegalTags find_illegal(const TaggedSentences& sentences, const TagTable& table, Scheme scheme);

// Tags of a legal sequence in `scheme` with the chunks of the input: converted[i] is a code,
//   0                            outside
//   1 + 4 * type + (prefix - 1)  prefix of a type (types numbered from 0; the empty type is n_types)
//   1 + 4 * (n_types + 1) + k    tag k of the input, which belongs to no scheme and is kept
void convert_tags(const TaggedSentences& sentences, const TagTable& table, std::int32_t n_types,
                  Scheme scheme, std::int32_t* converted);

}  // namespace bioner
