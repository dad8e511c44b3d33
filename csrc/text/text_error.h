// The one exception of the text library: something in the input that its author can mend.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace bioner {

class TextError : public std::runtime_error {
 public:
  // `line` counts from 1; 0 where lines make no sense.
  TextError(std::int64_t line, const std::string& message) : std::runtime_error(message), line_(line) {}
  std::int64_t line() const { return line_; }

 private:
  std::int64_t line_;
};

}  // namespace bioner
