// Tokens that are pictures: emoji and their like.
#pragma once

#include <cstdint>

#include "text/packed_strings.h"

namespace bioner {

// found[i] = 1 where token i holds nothing but pictographs (of Unicode's Extended_Pictographic those from
// U+231A on, flags, skin tones) and what joins or varies them, else 0. A joiner alone counts behind such a
// token. Arrows, mathematical signs, shapes such as U+25B3, and the signs for degrees, trade marks and
// copyright are none.
void find_pictographs(PackedStrings tokens, std::uint8_t* found);

}  // namespace bioner
