// The bytes of an open file, in memory of our own: whoever writes to the file later changes nothing here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "text/large_array.h"

namespace bioner {

struct FileBytes {
  LargeArray<std::uint8_t> data;  // null where the file cannot be read in pieces (a pipe, or no pread here)
  std::size_t size = 0;
};

// Reads a regular file from its beginning over `threads` (0: one per core). A file that shrinks meanwhile
// ends where it does then. Throws std::system_error.
FileBytes read_descriptor(int descriptor, int threads);

}  // namespace bioner
