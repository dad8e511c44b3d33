// The one exception of the text library: something in the input that its author can mend.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bioner {

class TextError : public std::runtime_error {
 public:
  // `line` counts from 1; 0 where lines make no sense.
  TextError(std::int64_t line, const std::string& message) : std::runtime_error(message), line_(line) {}
  std::int64_t line() const { return line_; }

 private:
  std::int64_t line_;
};

// The start of a text in quotes, fit for a one-line message.
inline std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string shown = "\"";
  for (const char c : text.substr(0, kLongest)) {
    if (c == '\t') {
      shown += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      shown += '?';
    } else {
      shown += c;
    }
  }
  return shown + (text.size() > kLongest ? "...\"" : "\"");
}

}  // namespace bioner
