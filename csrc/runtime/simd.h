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

// What a processor with AVX-512 may have beyond it; each has those before. Only inference asks (csrc/infer).
enum class Extension {
  kBase,
  kVnni,
  kBf16,
  kAmx,  // tiles of int8 and bfloat16
};

const char* name(Level level);
// "avx512_base", "avx512_vnni", "avx512_bf16", "avx512_amx".
const char* name(Extension extension);

// Levels that this build holds code for and that this processor and operating system can run, lowest first.
std::vector<Level> available();

// Extensions that can run here, lowest first; none without AVX-512.
std::vector<Extension> available_extensions();

// The level that kernels use: the highest of available() (never kWide), or the one named by the environment
// variable BIONER_SIMD, which is read once. Throws std::invalid_argument where that name is unknown or cannot
// run here.
Level active();

// The extension that kernels may use where the active level is AVX-512: the highest of
// available_extensions(), or the one named in place of the level ("avx512" names the highest). kBase at other
// levels.
Extension extension();

// Forces a level or an extension until the next call; the empty string returns to the choice of active().
// Throws as active() does.
void force(const std::string& wanted);

}  // namespace bioner::simd
