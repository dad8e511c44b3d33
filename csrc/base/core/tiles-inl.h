// AMX tiles, for files that are compiled for them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bioner {

// Eight tiles of 16 rows by 64 bytes, while it lives.
class WholeTiles {
 public:
  WholeTiles() {
    struct Shapes {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    // Static: compilers think that the instruction reads but the first bytes, and leave out writing the
    // others.
    static constexpr Shapes shapes;
    _tile_loadconfig(&shapes);
  }
  ~WholeTiles() { _tile_release(); }  // so that the system has no tiles to save when it switches threads
  WholeTiles(const WholeTiles&) = delete;
  WholeTiles& operator=(const WholeTiles&) = delete;
};

}  // namespace bioner
