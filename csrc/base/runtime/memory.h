// Hints to the operating system about memory that a kernel is about to fill.
#pragma once

#include <cstdint>

namespace bioner {

// Asks for huge pages under a large output, which Torch has usually just allocated: its first write then
// costs one page fault for 2 MB instead of 512. A hint: does nothing where the system has no such thing, or
// for small outputs.
void expect_large_write(void* data, std::int64_t bytes);

}  // namespace bioner
