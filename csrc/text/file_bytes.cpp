#include "text/file_bytes.h"

#if !defined(_WIN32)
#include <sys/stat.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "base/runtime/thread_pool.h"

namespace bioner {

#if defined(_WIN32)

FileBytes read_descriptor(int, int) { return {}; }

#else

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;

// Up to `size` bytes from `at` on; returns how many there were, and errno in *error.
std::size_t read_piece(int descriptor, std::uint8_t* data, std::size_t size, std::size_t at, int* error) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = pread(descriptor, data + done, size - done, static_cast<off_t>(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) *error = errno;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

}  // namespace

FileBytes read_descriptor(int descriptor, int threads) {
  struct stat facts = {};
  if (fstat(descriptor, &facts) != 0) throw std::system_error(errno, std::generic_category());
  if (!S_ISREG(facts.st_mode)) return {};
  const auto size = static_cast<std::size_t>(std::max<off_t>(facts.st_size, 0));
  FileBytes file{large_array<std::uint8_t>(size), 0};
  const std::size_t count = (size + kPiece - 1) / kPiece;
  std::vector<std::size_t> got(count);
  std::vector<int> errors(count);
  parallel_for(static_cast<std::int64_t>(count), 1, threads, [&](std::int64_t from, std::int64_t to) {
    for (auto i = static_cast<std::size_t>(from); i < static_cast<std::size_t>(to); ++i) {
      const std::size_t at = i * kPiece;
      got[i] = read_piece(descriptor, file.data.get() + at, std::min(kPiece, size - at), at, &errors[i]);
    }
  });
  for (std::size_t i = 0; i < count; ++i) {
    if (errors[i] != 0) throw std::system_error(errors[i], std::generic_category());
    file.size += got[i];
    if (got[i] < std::min(kPiece, size - i * kPiece)) break;
  }
  return file;
}

#endif

}  // namespace bioner
