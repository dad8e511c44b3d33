// Viterbi in fixed point that proves its path: the float64 rule of viterbi.h with int32 lanes.
//
// For float32 inputs the SIMD levels first run the recurrence on int32 multiples of 2^-20 ("units"), whose
// sums round nothing, and take its path where rounding the inputs cannot have changed it. All other sentences
// are done again in float64. So every output is the float64 one, to the bit, whatever this pass does.
//
// Why the path is right. An input is rounded by half a unit at most, so alpha[t, j], a sum of t + 1 emissions
// and as many start and transition scores, is off by t + 1, and alpha[t, i] + transition (or end) by t + 3/2.
// The float64 sums are themselves within a quarter of a unit, for kFixedTokens and kGreatest. Inputs below
// -kGreatest, -inf and NaN are raised to -kGreatest: sums of sequences that use them are bounds from above.
// Hence, walking back from the end, the tag of the greatest candidate is the float64 one if
//   - it is ahead of every other candidate by more than margin(t) units, and
//   - no input on its path is below -kGreatest.
// Inputs above kGreatest leave no proof. The score is summed again along the path in float64, in the order of
// the recurrence, which gives the bits of the recurrence.
//
// Why nothing overflows. No input is beyond 2^27 units, so every alpha is within 2^29 of the greatest of its
// token, which moves by 2^28 a token at most. It is subtracted from all, which is exact and changes no
// comparison, at every fourth token: no alpha is beyond 2^30 + 2^29. (Inputs above kGreatest may overflow,
// which wraps, and leaves no proof.)
#pragma once

#include <cstdint>

namespace bioner::viterbi {

constexpr float kUnits = 1 << 20;  // in 1
constexpr float kGreatest = 128.0F;
constexpr std::int32_t kGreatestFixed = 1 << 27;
// A rebase follows the tokens t with (t & kRebase) == kRebase.
constexpr std::int64_t kRebase = 3;
// Weights of tags that only fill a vector: they never win, and an alpha plus one of them is still an int32.
constexpr std::int32_t kPadding = -(1 << 29);
// Longer sentences go to float64 at once: the margin grows with the length, and with it the chance to fail.
constexpr std::int64_t kFixedTokens = 2048;

// Twice t + 3/2 and a quarter, rounded up.
constexpr std::int32_t margin(std::int64_t t) { return static_cast<std::int32_t>(2 * t + 4); }

// Up to this many tags a lane is a sentence, above a lane is a to-tag.
constexpr int kFixedLaneTags = 31;
// Length of a row of transitions where a lane is a sentence: `end` follows as column `tags`.
constexpr int kFixedRow = 32;

// Parameters in units, shared by all threads.
struct FixedTables {
  const std::int32_t* transitions;  // row = from. A lane a sentence: [tags, kFixedRow]; else [tags, stride]
  const std::int32_t*
      transposed;             // row = to, then `end`: [tags + 1, stride]; null where a lane is a sentence
  const std::int32_t* start;  // [stride]
  int tags;                   // 0: no proof with these parameters
  int stride;
};

}  // namespace bioner::viterbi
