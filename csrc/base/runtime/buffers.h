// Memory for large outputs that outlives them: the next output of about that size gets the same pages.
//
// The C library hands large blocks back to the system when they are freed, so each call of an op with a large
// output pays again for every page of it: a fault, and zeros that the kernel overwrites at once. Where the
// output is a gather, that costs more than the gather. Buffers that come back are kept here, and the system
// is told (MADV_FREE) that it may take their pages whenever it is short of memory, so nobody else goes
// without.
#pragma once

#include <cstdint>

namespace bioner {

// Outputs from here on are worth keeping: below, malloc itself does, more or less.
constexpr std::int64_t kRecycledBytes = std::int64_t{8} << 20;

// At least `bytes` bytes with any contents, aligned to a huge page; null where the system has none to give,
// or no MADV_FREE (anything but Linux): then allocate elsewhere. Thread-safe.
void* take_buffer(std::int64_t bytes);

// Gives back what take_buffer returned; false where it did not. Keeps at most kept_buffer_limit() bytes.
// Thread-safe; needs no GIL.
bool give_buffer(void* data);

// Bytes kept at most: BIONER_KEEP_MB (read once), or an eighth of this machine's memory.
std::int64_t kept_buffer_limit();

// Bytes kept now.
std::int64_t kept_buffer_bytes();

// Returns what is kept to the system.
void drop_buffers();

}  // namespace bioner
