// Which instruction set the kernels use. Chosen at run time: a wheel carries code for all of them.
#pragma once

#include <string>
#include <vector>

namespace bioner::simd {

enum class Level {
  kScalar,
  kAvx2,
  kAvx512,
  kNeon,
  // The 512-bit code compiled for AVX2 registers, so that machines without AVX-512 can test it. Test builds
  // only.
  kWide,
};

const char* name(Level level);

// Levels that this build holds code for and that this processor and operating system can run, lowest first.
std::vector<Level> available();

// The level that kernels use: the highest of available() (never kWide), or the one named by the environment
// variable BIONER_SIMD, which is read once. Throws std::invalid_argument where that name is unknown or cannot
// run here.
Level active();

// Forces a level until the next call; the empty string returns to the choice of active(). Throws as active()
// does.
void force(const std::string& level_name);

}  // namespace bioner::simd
