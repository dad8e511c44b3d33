#include "text/vocabulary.h"

#include <algorithm>
#include <cstddef>

#include "base/runtime/thread_pool.h"
#include "text/unicode.h"

namespace bioner {

namespace {

bool is_ascii(std::string_view s) {
  unsigned char bits = 0;
  for (const char c : s) bits |= static_cast<unsigned char>(c);
  return bits < 0x80;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Both append to `out` after clearing it and say whether the form differs from the token.
bool lower_into(std::string_view token, std::string& out) {
  out.clear();
  if (is_ascii(token)) {
    bool changed = false;
    for (const char c : token) {
      const bool upper = c >= 'A' && c <= 'Z';
      changed |= upper;
      out.push_back(upper ? static_cast<char>(c + ('a' - 'A')) : c);
    }
    return changed;
  }
  const char* p = token.data();
  const char* const end = p + token.size();
  while (p < end) {
    const char32_t c = next_code_point(p, end);
    if (c == 0x130) {  // the one letter whose lower case is two code points
      out.append("i\xCC\x87");
    } else {
      append_utf8(to_lower(c), out);
    }
  }
  return out != token;
}

// Replaces [+-]?(?:[.,]?[0-9])+ by 0, leftmost and longest first, as the expression does.
bool digits_into(std::string_view token, std::string& out) {
  out.clear();
  const std::size_t n = token.size();
  bool changed = false;
  std::size_t i = 0;
  while (i < n) {
    std::size_t j = i;
    if (token[j] == '+' || token[j] == '-') ++j;
    const std::size_t first = j;
    while (j < n) {
      if (is_digit(token[j])) {
        ++j;
      } else if ((token[j] == '.' || token[j] == ',') && j + 1 < n && is_digit(token[j + 1])) {
        j += 2;
      } else {
        break;
      }
    }
    if (j > first) {
      out.push_back('0');
      changed |= j - i != 1 || token[i] != '0';
      i = j;
    } else {
      out.push_back(token[i++]);
    }
  }
  return changed;
}

// Says in `capital` whether a capital Greek letter was spelt out; returns whether the form differs.
bool fold_into(std::string_view token, bool small_names, std::string& out, bool& capital) {
  out.clear();
  capital = false;
  bool changed = false;
  const char* p = token.data();
  const char* const end = p + token.size();
  while (p < end) {
    const char* const start = p;
    const char32_t c = next_code_point(p, end);
    const FoldedCharacter folded = fold_character(c);
    if (folded.text == nullptr) {
      out.append(start, static_cast<std::size_t>(p - start));
      continue;
    }
    changed = true;
    const std::size_t at = out.size();
    out.append(folded.text);
    if (folded.capital_name) {
      capital = true;
      if (small_names) {
        std::transform(out.begin() + static_cast<std::ptrdiff_t>(at), out.end(),
                       out.begin() + static_cast<std::ptrdiff_t>(at), [](char letter) {
                         return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
                       });
      }
    }
  }
  return changed;
}

class Chain {
 public:
  Chain(const HashIndex& index, std::int32_t limit, LookupOptions options)
      : index_(index), limit_(limit), options_(options) {}

  std::int32_t find(std::string_view token) {
    std::int32_t row = forms(token, false);
    if (row >= 0 || !options_.fold || is_ascii(token)) return row;
    bool capital = false;
    if (!fold_into(token, false, folded_, capital) || folded_.empty()) return -1;
    row = forms(folded_, true);
    if (row >= 0 || !capital) return row;
    fold_into(token, true, folded_, capital);
    return forms(folded_, true);
  }

 private:
  std::int32_t exact(std::string_view key) const {
    const std::int32_t row = index_.find(key);
    return row < limit_ ? row : -1;
  }

  // `folded` keys are also tried lower-cased and with digits as 0 at once.
  std::int32_t forms(std::string_view token, bool folded) {
    std::int32_t row = exact(token);
    if (row >= 0) return row;
    const bool lowered = options_.lower && lower_into(token, lower_);
    if (lowered && (row = exact(lower_)) >= 0) return row;
    if (!options_.digits || !digits_into(token, digits_)) return -1;
    if ((row = exact(digits_)) >= 0 || !folded || !lowered) return row;
    digits_into(lower_, digits_);
    return exact(digits_);
  }

  const HashIndex& index_;
  std::int32_t limit_;
  LookupOptions options_;
  std::string lower_, digits_, folded_;
};

std::uint8_t capital_class(std::string_view token, const std::uint8_t* classes) {
  bool first = true, initial = false, upper = false, other = false;
  const char* p = token.data();
  const char* const end = p + token.size();
  while (p < end) {
    const std::uint8_t value = classes[next_code_point(p, end)];
    upper |= (value & kUpper) != 0;
    other |= (value & kCased) != 0;
    if (first) initial = upper;
    first = false;
  }
  if (upper && !other) return 1;
  return initial ? 2 : upper ? 3 : 4;
}

}  // namespace

std::string lower_key(std::string_view token) {
  std::string out;
  lower_into(token, out);
  return out;
}

std::string digit_key(std::string_view token) {
  std::string out;
  digits_into(token, out);
  return out;
}

std::string fold_key(std::string_view token, bool small_names) {
  std::string out;
  bool capital = false;
  fold_into(token, small_names, out, capital);
  return out;
}

void lookup(const HashIndex& index, std::int32_t limit, PackedStrings tokens, LookupOptions options,
            int threads, std::int32_t* rows) {
  parallel_for(tokens.size, 4096, threads, [&](std::int64_t begin, std::int64_t end) {
    Chain chain(index, limit, options);
    for (std::int64_t i = begin; i < end; ++i) rows[i] = chain.find(tokens[i]);
  });
}

void capitalization(PackedStrings tokens, int threads, std::uint8_t* classes) {
  const std::uint8_t* const table = character_classes();
  parallel_for(tokens.size, 16384, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) classes[i] = capital_class(tokens[i], table);
  });
}

}  // namespace bioner
