// One small thread pool per extension module, whose workers sleep on a condition variable between jobs; and
// the threads of GNU OpenMP where Torch has loaded it.
#pragma once

#include <cstdint>
#include <functional>

namespace bioner {

enum class Workers {
  // OpenMP's threads, if they are there and nobody uses them at the moment: between jobs they spin, so
  // workers of our own would share cores with them wherever our calls and Torch's take turns.
  kTorchs,
  // For outputs of recycled memory (buffers.h): while a thread spins, the system takes longer to give pages
  // back and out.
  kOwn,
};

// Runs body(begin, end) over [0, n) in contiguous pieces of at least `grain` on up to `threads` threads (the
// caller included; 0 or less means one per core). Pieces may run in any order. Fork-safe: a child starts its
// own workers. A call from inside a body runs inline. Several callers may run at once and share the workers.
// `body` must not throw.
void parallel_for(std::int64_t n, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t)>& body,
                  Workers workers = Workers::kTorchs);

// To be called when a module is loaded: a child that is forked before the first job must know that OpenMP's
// threads stayed behind, too. Starts no thread.
void watch_forks();

// Cores of this machine, at least 1.
int hardware_threads();

}  // namespace bioner
