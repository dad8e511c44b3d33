#include "base/runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <dlfcn.h>
#endif

namespace bioner {
namespace {

using Body = std::function<void(std::int64_t, std::int64_t)>;

constexpr int kMaxWorkers = 255;
// More pieces than threads, so that a thread that lost its core does not hold up the others.
constexpr std::int64_t kPiecesPerThread = 4;

thread_local bool inside_body = false;

using Clock = std::chrono::steady_clock;

// Whether to share work with other threads. A thread that lost its core to another process holds up a call of
// microseconds for milliseconds, so after a call that waited longer for the others than it worked itself, the
// next ones do without them: at first for a few milliseconds, each time for twice as long.
class Patience {
 public:
  bool is_lost() const { return now() < again_.load(std::memory_order_relaxed); }

  // Of a call since `called` that itself worked from `begin` to `done`, and else waited for the others.
  void judge(Clock::time_point called, Clock::time_point begin, Clock::time_point done) {
    constexpr std::chrono::microseconds kAlwaysFine{200};
    const auto worked = done - begin;
    const auto waited = Clock::now() - called - worked;
    if (waited <= kAlwaysFine || waited <= worked) {
      pause_.store(kShortest, std::memory_order_relaxed);
      return;
    }
    const std::int64_t pause = pause_.load(std::memory_order_relaxed);
    again_.store(now() + pause, std::memory_order_relaxed);
    pause_.store(std::min(2 * pause, kLongest), std::memory_order_relaxed);
  }

 private:
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  }

  static constexpr std::int64_t kShortest = 10'000'000;  // nanoseconds
  static constexpr std::int64_t kLongest = 320'000'000;
  std::atomic<std::int64_t> again_{0};
  std::atomic<std::int64_t> pause_{kShortest};
};

// Lives on the stack of the caller of parallel_for.
struct Job {
  const Body& body;
  std::int64_t n;
  std::int64_t pieces;
  int seats;                              // workers that may still join; guarded by the pool's mutex
  std::atomic<int> active{0};             // workers inside; changed with the pool's mutex held
  std::atomic<std::int64_t> next{0};      // the next piece nobody has taken
  std::condition_variable finished = {};  // signalled when `active` falls to 0

  // Takes pieces until none is left. Piece i is [i * n / pieces, (i + 1) * n / pieces), written so as not to
  // overflow.
  void work() {
    const std::int64_t size = n / pieces;
    const std::int64_t longer = n % pieces;  // the first `longer` pieces have one more
    for (;;) {
      const std::int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= pieces) return;
      const std::int64_t begin = i * size + std::min(i, longer);
      body(begin, begin + size + (i < longer ? 1 : 0));
    }
  }
};

class Pool {
 public:
  // False, and nothing is done, while its workers are too late.
  bool run(Job& job) {
    if (patience_.is_lost()) return false;
    const auto called = Clock::now();
    std::list<Job*>::iterator place;
    const bool one_seat = job.seats == 1;  // read before workers see the job
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      grow(job.seats);
      place = jobs_.insert(jobs_.end(), &job);
    }
    if (one_seat) {
      wake_.notify_one();
    } else {
      wake_.notify_all();
    }
    const auto begin = Clock::now();
    inside_body = true;
    job.work();
    inside_body = false;
    const auto done = Clock::now();
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.erase(place);  // nobody joins from here on
    if (job.active != 0) {
      lock.unlock();
      wait_awake(job);
      lock.lock();  // a worker that counted itself out holds it until it has left the job
    }
    job.finished.wait(lock, [&] { return job.active == 0; });
    patience_.judge(called, begin, done);
    return true;
  }

 private:
  // For a while: to fall asleep and be woken takes as long as decoding thousands of tokens.
  static void wait_awake(const Job& job) {
    constexpr std::chrono::microseconds kWhile{100};
    const auto end = std::chrono::steady_clock::now() + kWhile;
    while (job.active.load(std::memory_order_relaxed) != 0 && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();  // the worker may be waiting for this very core
    }
  }

  // Called with the mutex held. Where the system refuses a thread, the job runs on those there are.
  void grow(int wanted) {
    while (workers_ < std::min(wanted, kMaxWorkers)) {
      try {
        std::thread([this] { loop(); }).detach();
      } catch (const std::system_error&) {
        return;
      }
      ++workers_;
    }
  }

  Job* open_job() {
    for (Job* job : jobs_) {
      if (job->seats > 0) return job;
    }
    return nullptr;
  }

  [[noreturn]] void loop() {
    inside_body = true;  // this thread only ever runs bodies
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] { return (job = open_job()) != nullptr; });
      --job->seats;
      ++job->active;
      lock.unlock();
      job->work();
      lock.lock();
      // Notified under the lock: the caller cannot destroy the job before this line is over.
      if (--job->active == 0) job->finished.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Job*> jobs_;
  int workers_ = 0;
  Patience patience_;
};

// The threads of GNU OpenMP, where this process has loaded it, as Torch does.
#if defined(__linux__)
using OpenMp = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);

OpenMp loaded_openmp() {
  static const OpenMp function = [] {
    void* const library = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD);
    return library == nullptr ? nullptr : reinterpret_cast<OpenMp>(dlsym(library, "GOMP_parallel"));
  }();
  return function;
}

// Its threads do not exist in a forked child, which it does not notice. One caller at a time: it would start
// threads for each.
std::atomic<bool> openmp_is_taken{false};

// All of them must come to a call, those that find no work too.
Patience openmp_patience;

bool run_by_openmp(Job& job) {
  const OpenMp openmp = loaded_openmp();
  if (openmp == nullptr || openmp_patience.is_lost()) return false;
  if (openmp_is_taken.exchange(true, std::memory_order_acquire)) return false;
  struct Call {
    Job& job;
    std::thread::id caller = std::this_thread::get_id();
    Clock::time_point begin = {};
    Clock::time_point done = {};
  } call{job};
  const auto work = [](void* data) {
    Call& shared = *static_cast<Call*>(data);
    const bool before = inside_body;
    const auto begin = Clock::now();
    inside_body = true;
    shared.job.work();
    inside_body = before;
    if (std::this_thread::get_id() == shared.caller) {
      shared.begin = begin;
      shared.done = Clock::now();
    }
  };
  const auto called = Clock::now();
  openmp(work, &call, static_cast<unsigned>(job.seats + 1), 0);
  openmp_patience.judge(called, call.begin, call.done);
  openmp_is_taken.store(false, std::memory_order_release);
  return true;
}
#else
bool run_by_openmp(Job&) { return false; }
#endif

// Never destroyed: workers may outlive static destructors.
std::atomic<Pool*> current_pool{nullptr};

Pool& pool() {
  static const bool made = [] {
    current_pool.store(new Pool);
#if defined(__unix__) || defined(__APPLE__)
    // The workers do not exist in a forked child, and the mutex may be held there: leave the old pool and
    // start anew.
    pthread_atfork(nullptr, nullptr, [] {
      current_pool.store(new Pool);
#if defined(__linux__)
      openmp_is_taken.store(true);
#endif
    });
#endif
    return true;
  }();
  (void)made;
  return *current_pool.load(std::memory_order_acquire);
}

}  // namespace

void watch_forks() { pool(); }

int hardware_threads() {
  static const int count = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return count;
}

void parallel_for(std::int64_t n, std::int64_t grain, int threads, const Body& body, Workers workers) {
  if (n <= 0) return;
  if (threads <= 0) threads = hardware_threads();
  threads = std::min(threads, kMaxWorkers + 1);
  const std::int64_t most = n / std::max<std::int64_t>(grain, 1);
  if (threads == 1 || most <= 1 || inside_body) {
    body(0, n);
    return;
  }
  const std::int64_t pieces = std::min<std::int64_t>(most, threads * kPiecesPerThread);
  const int seats = static_cast<int>(std::min<std::int64_t>(pieces, threads)) - 1;
  Job job{body, n, pieces, seats};
  Pool& own = pool();
  if (workers == Workers::kTorchs && run_by_openmp(job)) return;
  if (!own.run(job)) body(0, n);
}

}  // namespace bioner
