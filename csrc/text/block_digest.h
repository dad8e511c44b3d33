// Fast digests of the blocks of an array: they find flipped bits and half-written files, not forgeries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bioner {

inline std::uint64_t block_digest(std::string_view block) {
  constexpr std::uint64_t kMul = 0xD6E8FEB86659FD93ULL;
  constexpr std::size_t kLanes = 4;  // independent chains: the multiplications overlap
  std::uint64_t lanes[kLanes] = {0x9E3779B97F4A7C15ULL, 0xBF58476D1CE4E5B9ULL, 0x94D049BB133111EBULL,
                                 0x2545F4914F6CDD1DULL};
  const auto mix = [](std::uint64_t* lane, std::uint64_t value) {
    *lane = (*lane ^ value) * kMul;
    *lane ^= *lane >> 32;
  };
  const char* p = block.data();
  std::size_t n = block.size();
  for (; n >= 8 * kLanes; n -= 8 * kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane, p += 8) {
      std::uint64_t value;
      std::memcpy(&value, p, 8);
      mix(&lanes[lane], value);
    }
  }
  for (; n > 0; p += n < 8 ? n : 8, n -= n < 8 ? n : 8) {
    std::uint64_t value = 0;
    std::memcpy(&value, p, n < 8 ? n : 8);
    mix(&lanes[0], value);
  }
  std::uint64_t digest = block.size();
  for (const std::uint64_t lane : lanes) mix(&digest, lane);
  return digest;
}

}  // namespace bioner
