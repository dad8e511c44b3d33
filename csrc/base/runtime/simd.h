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

// What a processor may have beyond a level, each with those before it of its level. Only inference asks
// (csrc/inference).
enum class Extension {
  kAvx2Base,
  kAvx2Vnni,
  kBase,  // of AVX-512; stands for nothing at levels without extensions
  kVnni,
  kBf16,
  kAmx,  // tiles of int8 and bfloat16
};

const char* name(Level level);
// "avx2_base", "avx2_vnni", "avx512_base", "avx512_vnni", "avx512_bf16", "avx512_amx".
const char* name(Extension extension);

// Whether Intel made this processor: some code elsewhere is chosen by that.
bool is_intel();

// Levels that this build holds code for and that this processor and operating system can run, lowest first.
std::vector<Level> available();

// Extensions that can run here, lowest first.
std::vector<Extension> available_extensions();

// The level that kernels use: the highest of available() (never kWide), or the one named by the environment
// variable BIONER_SIMD, which is read once. Throws std::invalid_argument where that name is unknown or cannot
// run here.
Level active();

// The extension of the active level that kernels use: the highest of available_extensions() that is worth it,
// or the one named in place of the level ("avx512" and "avx2" leave the choice). kBase at levels without.
Extension extension();

// Forces a level or an extension until the next call; the empty string returns to the choice of active().
// Throws as active() does.
void force(const std::string& wanted);

}  // namespace bioner::simd
