// UTF-8 checks.
#pragma once

#include <cstddef>
#include <string_view>

namespace bioner {

// Position of the first byte that does not belong to well-formed UTF-8 (RFC 3629), text.size() if there is
// none.
std::size_t find_invalid_utf8(std::string_view text);

}  // namespace bioner
