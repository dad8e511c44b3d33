#include "text/tokenizer.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/runtime/thread_pool.h"
#include "text/unicode.h"

namespace bioner {

namespace {

template <typename Char>
void tokenize_text(const Char* s, std::int64_t n, TokenSpans& tokens) {
  const std::uint8_t* const classes = character_classes();
  const auto is = [&](std::int64_t i, int bits) { return (classes[s[i]] & bits) != 0; };
  Gap gap = Gap::kNone;
  int lines = 0;
  std::int64_t i = 0;
  while (i < n) {
    if (is(i, kSpace)) {
      const char32_t c = s[i];
      // A carriage return before a line feed belongs to it.
      if (c == '\n' || c == 0x85 || c == 0x2028 || (c == '\r' && (i + 1 == n || s[i + 1] != '\n'))) ++lines;
      if (c == '\f' || c == 0x2029) lines = 2;
      gap = lines == 0 ? Gap::kSpace : lines == 1 ? Gap::kLine : Gap::kParagraph;
      ++i;
      continue;
    }
    const std::int64_t start = i;
    const int more = is(i, kAlnum) ? kAlnum | kMark : kMark;
    do ++i;
    while (i < n && is(i, more));
    tokens.starts.push_back(start);
    tokens.ends.push_back(i);
    tokens.gaps.push_back(gap);
    gap = Gap::kNone;
    lines = 0;
  }
}

// A contiguous part of the texts, worked on by one thread at a time.
struct Block {
  std::size_t first = 0, last = 0;  // texts
  std::string text;
  std::vector<std::int64_t> lengths, starts, ends, sentences;  // sentences: tokens of each
  std::vector<std::int64_t> documents;                         // sentences of each text
};

template <typename Char>
void append_token_text(const Char* s, const TokenSpans& tokens, Block& block) {
  for (std::int64_t i = 0; i < tokens.size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    const std::size_t before = block.text.size();
    for (std::int64_t j = tokens.starts[k]; j < tokens.ends[k]; ++j) {
      const char32_t c = s[j];
      if (c < 0x80) {
        block.text.push_back(static_cast<char>(c));
      } else {
        append_utf8(c, block.text);
      }
    }
    block.lengths.push_back(static_cast<std::int64_t>(block.text.size() - before));
  }
}

void segment_block(const std::vector<TextView>& texts, bool split, Block& block) {
  TokenSpans tokens;
  std::vector<std::int64_t> ends;
  for (std::size_t t = block.first; t < block.last; ++t) {
    tokens.clear();
    ends.clear();
    tokenize(texts[t], tokens);
    if (split) {
      split_sentences(texts[t], tokens, ends);
    } else if (tokens.size() > 0) {
      ends.push_back(tokens.size());
    }
    switch (texts[t].width) {
      case 1:
        append_token_text(static_cast<const std::uint8_t*>(texts[t].data), tokens, block);
        break;
      case 2:
        append_token_text(static_cast<const std::uint16_t*>(texts[t].data), tokens, block);
        break;
      default:
        append_token_text(static_cast<const std::uint32_t*>(texts[t].data), tokens, block);
    }
    block.starts.insert(block.starts.end(), tokens.starts.begin(), tokens.starts.end());
    block.ends.insert(block.ends.end(), tokens.ends.begin(), tokens.ends.end());
    std::int64_t from = 0;
    for (const std::int64_t end : ends) {
      block.sentences.push_back(end - from);
      from = end;
    }
    block.documents.push_back(static_cast<std::int64_t>(ends.size()));
  }
}

template <typename T>
std::unique_ptr<T[]> uninitialised(std::int64_t n) {
  return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(n)]);
}

// Running sums of `lengths` behind out[0] = base.
void put_sums(const std::vector<std::int64_t>& lengths, std::int64_t base, std::int64_t* out) {
  for (const std::int64_t length : lengths) *++out = base += length;
}

}  // namespace

void tokenize(TextView text, TokenSpans& tokens) {
  switch (text.width) {
    case 1:
      return tokenize_text(static_cast<const std::uint8_t*>(text.data), text.size, tokens);
    case 2:
      return tokenize_text(static_cast<const std::uint16_t*>(text.data), text.size, tokens);
    default:
      return tokenize_text(static_cast<const std::uint32_t*>(text.data), text.size, tokens);
  }
}

Segmentation segment(const std::vector<TextView>& texts, bool split, int threads) {
  // Blocks of some 64,000 characters: the same whatever the number of threads.
  constexpr std::int64_t kBlock = 1 << 16;
  std::vector<Block> blocks;
  std::int64_t filled = kBlock;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    if (filled >= kBlock) {
      blocks.emplace_back();
      blocks.back().first = t;
      filled = 0;
    }
    blocks.back().last = t + 1;
    filled += texts[t].size + 64;
  }
  const auto n_blocks = static_cast<std::int64_t>(blocks.size());
  const auto for_blocks = [&](const auto& body) {
    parallel_for(n_blocks, 1, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) body(static_cast<std::size_t>(b));
    });
  };
  for_blocks([&](std::size_t b) { segment_block(texts, split, blocks[b]); });

  struct Base {
    std::int64_t bytes = 0, tokens = 0, sentences = 0;
  };
  std::vector<Base> bases(blocks.size() + 1);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    bases[b + 1].bytes = bases[b].bytes + static_cast<std::int64_t>(blocks[b].text.size());
    bases[b + 1].tokens = bases[b].tokens + static_cast<std::int64_t>(blocks[b].starts.size());
    bases[b + 1].sentences = bases[b].sentences + static_cast<std::int64_t>(blocks[b].sentences.size());
  }
  Segmentation out;
  out.n_tokens = bases.back().tokens;
  out.n_sentences = bases.back().sentences;
  out.text = uninitialised<std::uint8_t>(bases.back().bytes);
  out.offsets = uninitialised<std::int64_t>(out.n_tokens + 1);
  out.starts = uninitialised<std::int64_t>(out.n_tokens);
  out.ends = uninitialised<std::int64_t>(out.n_tokens);
  out.sentences = uninitialised<std::int64_t>(out.n_sentences + 1);
  out.documents = uninitialised<std::int64_t>(static_cast<std::int64_t>(texts.size()) + 1);
  out.offsets[0] = out.sentences[0] = out.documents[0] = 0;
  for_blocks([&](std::size_t b) {
    const Block& block = blocks[b];
    const Base& base = bases[b];
    std::copy(block.text.begin(), block.text.end(), out.text.get() + base.bytes);
    std::copy(block.starts.begin(), block.starts.end(), out.starts.get() + base.tokens);
    std::copy(block.ends.begin(), block.ends.end(), out.ends.get() + base.tokens);
    put_sums(block.lengths, base.bytes, out.offsets.get() + base.tokens);
    put_sums(block.sentences, base.tokens, out.sentences.get() + base.sentences);
    put_sums(block.documents, base.sentences, out.documents.get() + block.first);
  });
  return out;
}

}  // namespace bioner
