// Text to tokens and sentences. Offsets are code points; texts come as Python keeps them: 1, 2 or 4 bytes a
// code point.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace bioner {

// One text. `width` is 1, 2 or 4; `size` counts code points.
struct TextView {
  const void* data = nullptr;
  std::int64_t size = 0;
  int width = 1;
};

// What separates a token from the one before it.
enum class Gap : std::uint8_t { kNone, kSpace, kLine, kParagraph };

// Tokens of one text, as ranges of code points.
struct TokenSpans {
  std::vector<std::int64_t> starts, ends;
  std::vector<Gap> gaps;

  std::int64_t size() const { return static_cast<std::int64_t>(starts.size()); }
  void clear() {
    starts.clear();
    ends.clear();
    gaps.clear();
  }
};

// Appends the tokens of `text`: a run of letters and numbers with the combining marks among them, or one
// other character with the marks that follow it; white space separates.
void tokenize(TextView text, TokenSpans& tokens);

// Appends, for every sentence of a text, the number of the token behind its last one. Sentences cover all
// tokens.
void split_sentences(TextView text, const TokenSpans& tokens, std::vector<std::int64_t>& sentence_ends);

// Many texts at once.
struct Segmentation {
  std::int64_t n_tokens = 0, n_sentences = 0;
  std::unique_ptr<std::uint8_t[]> text;       // tokens in UTF-8, one after another
  std::unique_ptr<std::int64_t[]> offsets;    // [n_tokens + 1] into text
  std::unique_ptr<std::int64_t[]> starts;     // [n_tokens] code points in the token's own text
  std::unique_ptr<std::int64_t[]> ends;       // [n_tokens]
  std::unique_ptr<std::int64_t[]> sentences;  // [n_sentences + 1] token numbers
  std::unique_ptr<std::int64_t[]> documents;  // [texts + 1] sentence numbers
};

// Tokens and sentences of `texts`; without `split` every text with tokens is one sentence.
Segmentation segment(const std::vector<TextView>& texts, bool split, int threads);

}  // namespace bioner
