#include "base/runtime/buffers.h"

#if defined(__linux__)
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace bioner {

#if defined(__linux__) && defined(MADV_FREE)

namespace {

constexpr std::int64_t kHugePage = std::int64_t{2} << 20;

struct Buffer {
  void* data;
  std::int64_t bytes;
};

struct Shelf {
  std::mutex mutex;
  std::unordered_map<void*, std::int64_t> lent;  // bytes of the buffers in use
  std::vector<Buffer> kept;                      // the longest kept first
  std::int64_t kept_bytes = 0;
};

// Never destroyed: tensors may die after static destructors have run.
Shelf& shelf() {
  static Shelf* const only = [] {
    static Shelf* made = new Shelf;
    // A fork must not catch the mutex in another thread's hands.
    pthread_atfork([] { made->mutex.lock(); }, [] { made->mutex.unlock(); }, [] { made->mutex.unlock(); });
    return made;
  }();
  return *only;
}

// A mapping that starts at a huge page.
void* map(std::int64_t bytes) {
  const auto whole = static_cast<std::size_t>(bytes + kHugePage);
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* start = static_cast<char*>(mapped);
  const auto before = static_cast<std::size_t>(-reinterpret_cast<std::uintptr_t>(start) & (kHugePage - 1));
  if (before > 0) munmap(start, before);
  munmap(start + before + bytes, static_cast<std::size_t>(kHugePage) - before);
  madvise(start + before, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);  // failing is no loss
  return start + before;
}

}  // namespace

void* take_buffer(std::int64_t bytes) {
  if (bytes <= 0 || bytes > std::int64_t{1} << 46) return nullptr;
  const std::int64_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  Shelf& all = shelf();
  const std::lock_guard<std::mutex> lock(all.mutex);
  auto best = all.kept.end();
  for (auto it = all.kept.begin(); it != all.kept.end(); ++it) {
    // Not one that is far too large: the next caller may need it.
    const bool fits = it->bytes >= rounded && it->bytes / 2 <= rounded;
    if (fits && (best == all.kept.end() || it->bytes < best->bytes)) best = it;
  }
  Buffer buffer{};
  if (best != all.kept.end()) {
    buffer = *best;
    all.kept.erase(best);
    all.kept_bytes -= buffer.bytes;
  } else {
    buffer = {map(rounded), rounded};
    if (buffer.data == nullptr) return nullptr;
  }
  all.lent.emplace(buffer.data, buffer.bytes);
  return buffer.data;
}

bool give_buffer(void* data) {
  Shelf& all = shelf();
  std::vector<Buffer> dropped;
  {
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto found = all.lent.find(data);
    if (found == all.lent.end()) return false;
    const Buffer buffer{data, found->second};
    all.lent.erase(found);
    if (buffer.bytes > kept_buffer_limit()) {
      dropped.push_back(buffer);
    } else {
      madvise(data, static_cast<std::size_t>(buffer.bytes), MADV_FREE);
      all.kept.push_back(buffer);
      all.kept_bytes += buffer.bytes;
      while (all.kept_bytes > kept_buffer_limit()) {
        dropped.push_back(all.kept.front());
        all.kept_bytes -= all.kept.front().bytes;
        all.kept.erase(all.kept.begin());
      }
    }
  }
  for (const Buffer& buffer : dropped) munmap(buffer.data, static_cast<std::size_t>(buffer.bytes));
  return true;
}

std::int64_t kept_buffer_limit() {
  static const std::int64_t limit = [] {
    if (const char* text = std::getenv("BIONER_KEEP_MB"); text != nullptr && *text != '\0') {
      const long long megabytes = std::atoll(text);
      return static_cast<std::int64_t>(megabytes<0 ? 0 : megabytes>(1 << 26) ? 1 << 26 : megabytes) << 20;
    }
    return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) / 8 * sysconf(_SC_PAGE_SIZE);
  }();
  return limit;
}

std::int64_t kept_buffer_bytes() {
  Shelf& all = shelf();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.kept_bytes;
}

void drop_buffers() {
  Shelf& all = shelf();
  const std::lock_guard<std::mutex> lock(all.mutex);
  for (const Buffer& buffer : all.kept) munmap(buffer.data, static_cast<std::size_t>(buffer.bytes));
  all.kept.clear();
  all.kept_bytes = 0;
}

#else

void* take_buffer(std::int64_t) { return nullptr; }
bool give_buffer(void*) { return false; }
std::int64_t kept_buffer_limit() { return 0; }
std::int64_t kept_buffer_bytes() { return 0; }
void drop_buffers() {}

#endif

}  // namespace bioner
