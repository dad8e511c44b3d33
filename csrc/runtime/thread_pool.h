// One small thread pool per extension module. Workers sleep on a condition variable between jobs.
#pragma once

#include <cstdint>
#include <functional>

namespace bioner {

// Runs body(begin, end) over [0, n) in contiguous pieces of at least `grain` on up to `threads` threads (the
// caller included; 0 or less means one per core). Pieces may run in any order. Fork-safe: a child starts its
// own workers. A call from inside a body runs inline. Several callers may run at once and share the workers.
// `body` must not throw.
void parallel_for(std::int64_t n, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t)>& body);

// Cores of this machine, at least 1.
int hardware_threads();

}  // namespace bioner
