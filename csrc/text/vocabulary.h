// Tokens to rows: the normalisation chain and the folding of lookup keys; capitalisation classes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/hash_index.h"
#include "text/packed_strings.h"

namespace bioner {

struct LookupOptions {
  bool lower = true;   // then the lower-cased form
  bool digits = true;  // then the exact form with every [+-]?(?:[.,]?[0-9])+ as 0
  bool fold = false;   // then the same chain on the folded form (see fold_key)
};

// The forms of a token in the order in which they are looked up.
std::string lower_key(std::string_view token);
std::string digit_key(std::string_view token);
// Greek letters spelt out (capitals with a capital, or not with `small_names`), typographic dashes and
// quotes, ligatures, accents, superscripts and subscripts, full-width forms.
std::string fold_key(std::string_view token, bool small_names);

// rows[i] = position of tokens[i] among the words of `index`, -1 if no form of it is there. Positions from
// `limit` on count as absent.
void lookup(const HashIndex& index, std::int32_t limit, PackedStrings tokens, LookupOptions options,
            int threads, std::int32_t* rows);

// 1 allcaps, 2 initcap, 3 hascap, 4 nocaps (0 is PADDING's).
void capitalization(PackedStrings tokens, int threads, std::uint8_t* classes);

}  // namespace bioner
