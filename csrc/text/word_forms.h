// What a token looks like, as integers: its characters, and hashes of its affixes and its shape.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/packed_strings.h"

namespace bioner {

// Changes whenever a token may get other numbers; models carry it.
inline constexpr int kWordFormsVersion = 1;

// Characters: padding, begin, end, printable ASCII from 3 on, then five classes of everything else.
inline constexpr int kCharacterSlots = 16;  // begin, up to 14 characters, end
inline constexpr int kCharacters = 3 + 95 + 5;

// Prefix of 3, suffix of 3, prefix of 4, suffix of 4 (all in lower case), shape. A column's ids follow those
// of the columns before it, so that one table holds all rows.
inline constexpr int kAffixColumns = 5;
inline constexpr std::array<std::int32_t, kAffixColumns> kAffixRows = {5000, 5000, 5000, 5000, 1000};

// Of each token: characters [n, kCharacterSlots], of long ones the first and the last seven; affixes
// [n, kAffixColumns]. `fold` spells out what the folding of lookup keys spells out, before anything else.
void word_forms(PackedStrings tokens, bool fold, int threads, std::uint8_t* characters,
                std::int32_t* affixes);

// `first`: positions of distinct strings by first appearance; ids[i]: the number of string i among them.
std::vector<std::int64_t> distinct_strings(PackedStrings strings, std::int32_t* ids);

}  // namespace bioner
