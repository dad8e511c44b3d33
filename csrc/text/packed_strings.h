// Strings packed one after another, as the library sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bioner {

// Item i is text[offsets[i] .. offsets[i + 1]). offsets[0] may be above 0 (a slice).
struct PackedStrings {
  const char* text = nullptr;
  const std::int64_t* offsets = nullptr;
  std::int64_t size = 0;

  std::string_view operator[](std::int64_t i) const {
    return {text + offsets[i], static_cast<std::size_t>(offsets[i + 1] - offsets[i])};
  }
};

}  // namespace bioner
