// Runs the threads of a few blocks as fibers, from barrier to barrier. A thread is never interrupted
// elsewhere, so what threads do between two barriers is seen in the orders that Settings name, and by
// ThreadSanitizer.
//
// Misuse ends the process with kMisuse and a sentence: threads that wait at different barriers, barriers that
// a thread which has ended is expected at, deadlocks, exchanges with lanes that take no part, launches that a
// device refuses and that the code does not check.
//
// For ThreadSanitizer this file is compiled without it, with CUDA_HOST_TSAN: it looks at the kernels only.
#include "executor.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(CUDA_HOST_TSAN)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace cuda_host {

Settings settings;
Counters counters;

namespace {

constexpr int kMisuse = 3;  // exit status
constexpr std::size_t kStackBytes = 128 * 1024;
constexpr std::size_t kBlocksAtOnce = 3;
constexpr unsigned kWarp = 32;
constexpr std::size_t kSharedBytes = 48 * 1024;  // without asking for more
constexpr int kPoison = 0xFF;                    // NaN, and -1

enum class State { kReady, kWaits, kEnded };

struct Block;

struct Fiber {
  Thread view;
  Block* block = nullptr;
  unsigned number = 0;  // in its block
  State state = State::kReady;
  const char* what = "its start";  // where it waits
  Where where;
  std::array<std::uint64_t, kWarp> inbox{};  // what the last exchange brought
  int count = 0;
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  void* tsan = nullptr;
  void* fake_stack = nullptr;
};

// Threads that have come to a barrier.
struct Gathering {
  unsigned mask = 0;     // of a warp
  unsigned arrived = 0;  // threads; of a warp: their mask
  int count = 0;
  const char* what = nullptr;
  Where where;
  char* turn = nullptr;  // an address for ThreadSanitizer
  std::array<std::uint64_t, kWarp> values{};
};

// Two addresses that barriers take in turns: who is late at one barrier must not see what was written before
// the next.
struct Turns {
  char addresses[2] = {0, 0};
  unsigned next = 0;

  char* take() { return &addresses[next++ & 1]; }
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<std::vector<Gathering>> warps;
  Gathering whole;
  Turns turns;
  std::vector<Turns> warp_turns;  // by the first lane of a mask
  unsigned ended = 0;
  std::unique_ptr<char[]> dynamic;
  std::map<std::pair<std::string, int>, std::unique_ptr<char[]>> statics;
  std::size_t shared = 0;
};

ucontext_t main_context;
Fiber* running = nullptr;
const std::function<void()>* body = nullptr;
const Launch* launched = nullptr;
cudaError_t last_error = cudaSuccess;
std::mt19937 randomness;
std::vector<std::unique_ptr<char[]>> free_stacks;
std::map<const void*, std::size_t> allowed_shared;
char launch_end;  // an address for ThreadSanitizer
#if defined(CUDA_HOST_TSAN)
void* main_tsan = nullptr;
#endif

#if defined(__SANITIZE_ADDRESS__)
const void* main_bottom = nullptr;
std::size_t main_size = 0;
#endif

[[noreturn]] void misuse(const std::string& text) {
  std::fflush(stdout);
  std::fprintf(stderr, "cuda_host: %s: %s\n", launched != nullptr ? launched->name : "host", text.c_str());
  std::fflush(stderr);
  std::_Exit(kMisuse);
}

std::string place(const char* what, const Where& where) {
  return std::string(what) + " (" + where.file_name() + ":" + std::to_string(where.line()) + ")";
}

std::string place(const Fiber& fiber) {
  const std::string who =
      "thread " + std::to_string(fiber.number) + " of block " + std::to_string(fiber.view.block.x);
  if (fiber.state == State::kEnded) return who + ", which has ended";
  return who + " at " + place(fiber.what, fiber.where);
}

bool same_place(const Gathering& gathering, const char* what, const Where& where) {
  return std::strcmp(gathering.what, what) == 0 && gathering.where.line() == where.line() &&
         std::strcmp(gathering.where.file_name(), where.file_name()) == 0;
}

std::unique_ptr<char[]> poisoned(std::size_t bytes) {
  std::unique_ptr<char[]> memory(new char[bytes]);
  std::memset(memory.get(), kPoison, bytes);
  return memory;
}

// ---- Fibers

// What ThreadSanitizer is told: everything before tell() happened before what follows learn() of that
// address.
void tell(char* address) {
#if defined(CUDA_HOST_TSAN)
  __tsan_release(address);
#else
  static_cast<void>(address);
#endif
}
void learn(char* address) {
#if defined(CUDA_HOST_TSAN)
  __tsan_acquire(address);
#else
  static_cast<void>(address);
#endif
}

void to_scheduler() {
  Fiber* const fiber = running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fiber->state == State::kEnded ? nullptr : &fiber->fake_stack, main_bottom,
                                 main_size);
#endif
#if defined(CUDA_HOST_TSAN)
  __tsan_switch_to_fiber(main_tsan, 1);
#endif
  swapcontext(&fiber->context, &main_context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fiber->fake_stack, &main_bottom, &main_size);
#endif
}

void thread_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);
#endif
  (*body)();
  Fiber& fiber = *running;
  Block& block = *fiber.block;
  tell(&launch_end);
  fiber.state = State::kEnded;
  ++block.ended;
  if (block.whole.arrived > 0) {
    misuse(place(block.whole.what, block.whole.where) + " waits for " + place(fiber));
  }
  for (const Gathering& gathering : block.warps[fiber.number / kWarp]) {
    if ((gathering.mask >> (fiber.number % kWarp) & 1) != 0) {
      misuse(place(gathering.what, gathering.where) + " waits for " + place(fiber));
    }
  }
  to_scheduler();
}

void resume(Fiber* fiber) {
  running = fiber;
  ++counters.switches;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, fiber->stack.get(), kStackBytes);
#endif
#if defined(CUDA_HOST_TSAN)
  __tsan_switch_to_fiber(fiber->tsan, 1);
#endif
  swapcontext(&main_context, &fiber->context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

// ---- Barriers

void release_block(Block* block) {
  for (Fiber& fiber : block->fibers) {
    fiber.state = State::kReady;
    fiber.count = block->whole.count;
  }
  block->whole = Gathering{};
}

void release_warp(Block* block, unsigned warp, std::size_t index) {
  std::vector<Gathering>& gatherings = block->warps[warp];
  const Gathering gathering = gatherings[index];
  gatherings.erase(gatherings.begin() + static_cast<std::ptrdiff_t>(index));
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((gathering.mask >> lane & 1) == 0) continue;
    Fiber& fiber = block->fibers[warp * kWarp + lane];
    fiber.state = State::kReady;
    fiber.inbox = gathering.values;
  }
}

// ---- Blocks

void set_out(Fiber* fiber) {
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, thread_main, 0);
}

std::unique_ptr<Block> make_block(const Launch& launch, unsigned number) {
  auto block = std::make_unique<Block>();
  const unsigned threads = launch.block.x;
  block->dynamic = poisoned(launch.shared);
  block->shared = launch.shared;
  block->warps.resize((threads + kWarp - 1) / kWarp);
  block->fibers = std::vector<Fiber>(threads);
  block->warp_turns.resize(block->warps.size() * kWarp);
  for (unsigned t = 0; t < threads; ++t) {
    Fiber& fiber = block->fibers[t];
    fiber.view = {dim3(t, 0, 0), dim3(number, 0, 0), launch.block, launch.grid};
    fiber.block = block.get();
    fiber.number = t;
    if (free_stacks.empty()) {
      fiber.stack.reset(new char[kStackBytes]);
    } else {
      fiber.stack = std::move(free_stacks.back());
      free_stacks.pop_back();
    }
    set_out(&fiber);
#if defined(CUDA_HOST_TSAN)
    fiber.tsan = __tsan_create_fiber(0);
#endif
  }
  return block;
}

unsigned below(std::size_t n) { return static_cast<unsigned>(randomness() % n); }

// Leaves in `ready` those that run before barriers are looked at again, in their order.
void choose(std::vector<Fiber*>* ready, std::pair<Block*, unsigned>* ahead) {
  if (settings.order == Order::kInOrder) return;
  if (settings.order == Order::kWarpAhead) {
    const auto warp_of = [](const Fiber* fiber) {
      return std::make_pair(fiber->block, fiber->number / kWarp);
    };
    const bool goes_on = std::any_of(ready->begin(), ready->end(),
                                     [&](const Fiber* fiber) { return warp_of(fiber) == *ahead; });
    if (!goes_on || below(16) == 0) *ahead = warp_of((*ready)[below(ready->size())]);
    std::erase_if(*ready, [&](const Fiber* fiber) { return warp_of(fiber) != *ahead; });
  }
  std::shuffle(ready->begin(), ready->end(), randomness);
  if (settings.order == Order::kHalf) ready->resize((ready->size() + 1) / 2);
}

void run(std::vector<std::unique_ptr<Block>>* blocks) {
  std::vector<Fiber*> ready;
  std::pair<Block*, unsigned> ahead{nullptr, 0};
  for (;;) {
    ready.clear();
    const Fiber* waits = nullptr;
    for (const auto& block : *blocks) {
      for (Fiber& fiber : block->fibers) {
        if (fiber.state == State::kReady) ready.push_back(&fiber);
        if (fiber.state == State::kWaits) waits = &fiber;
      }
    }
    if (ready.empty()) {
      if (waits != nullptr) misuse("deadlock: nobody comes to " + place(*waits));
      return;
    }
    choose(&ready, &ahead);
    for (Fiber* const fiber : ready) resume(fiber);
  }
}

}  // namespace

const Thread& self() { return running->view; }

int sync_block(bool predicate, const char* what, Where where) {
  Fiber* const fiber = running;
  Block* const block = fiber->block;
  Gathering& whole = block->whole;
  fiber->what = what;
  fiber->where = where;
  if (block->ended > 0) misuse(place(*fiber) + ", after another thread of the block has ended");
  if (whole.arrived == 0) {
    whole.what = what;
    whole.where = where;
    whole.turn = block->turns.take();
  } else if (!same_place(whole, what, where)) {
    misuse("threads of a block wait at different barriers: " + place(*fiber) + ", others at " +
           place(whole.what, whole.where));
  }
  whole.count += predicate ? 1 : 0;
  fiber->state = State::kWaits;
  char* const turn = whole.turn;
  tell(turn);
  if (++whole.arrived == block->fibers.size()) release_block(block);
  to_scheduler();
  learn(turn);
  return fiber->count;
}

const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const char* what, Where where) {
  Fiber* const fiber = running;
  Block* const block = fiber->block;
  const unsigned lane = fiber->number % kWarp;
  const unsigned warp = fiber->number / kWarp;
  fiber->what = what;
  fiber->where = where;
  if ((mask >> lane & 1) == 0) misuse(place(*fiber) + ", whose mask does not name it");
  std::vector<Gathering>& gatherings = block->warps[warp];
  std::size_t index = 0;
  while (index < gatherings.size() && (gatherings[index].mask & mask) == 0) ++index;
  if (index == gatherings.size()) {
    for (unsigned other = 0; other < kWarp; ++other) {
      if ((mask >> other & 1) == 0) continue;
      const unsigned number = warp * kWarp + other;
      if (number >= block->fibers.size()) misuse(place(*fiber) + " names lanes that the block does not have");
      if (block->fibers[number].state == State::kEnded) {
        misuse(place(*fiber) + " waits for " + place(block->fibers[number]));
      }
    }
    Gathering gathering;
    gathering.mask = mask;
    gathering.what = what;
    gathering.where = where;
    gathering.turn = block->warp_turns[warp * kWarp + static_cast<unsigned>(std::countr_zero(mask))].take();
    gatherings.push_back(gathering);
  }
  Gathering& gathering = gatherings[index];
  if (gathering.mask != mask || !same_place(gathering, what, where)) {
    misuse("lanes of a warp wait at different barriers, or with different masks: " + place(*fiber) +
           ", others at " + place(gathering.what, gathering.where));
  }
  gathering.arrived |= 1U << lane;
  gathering.values[lane] = value;
  fiber->state = State::kWaits;
  char* const turn = gathering.turn;
  tell(turn);
  if (gathering.arrived == mask) release_warp(block, warp, index);
  to_scheduler();
  learn(turn);
  return fiber->inbox.data();
}

std::uint64_t value_of(const std::uint64_t* values, unsigned mask, int lane, const char* what, Where where) {
  if (lane < 0 || lane >= static_cast<int>(kWarp) || (mask >> lane & 1) == 0) {
    misuse(place(what, where) + " reads lane " + std::to_string(lane) + ", which takes no part");
  }
  return values[lane];
}

void* dynamic_shared() { return running->block->dynamic.get(); }

void* static_shared(const char* name, int line, std::size_t bytes) {
  Block* const block = running->block;
  std::unique_ptr<char[]>& memory = block->statics[{name, line}];
  if (memory == nullptr) {
    memory = poisoned(bytes);
    block->shared += bytes;
    if (block->shared > kSharedBytes) misuse("more than 48 KiB of shared memory");
  }
  return memory.get();
}

void launch(const Launch& launch, const std::function<void()>& work) {
  launched = &launch;
  ++counters.launches;
  counters.most_blocks = std::max(counters.most_blocks, launch.grid.x);
  const dim3& grid = launch.grid;
  if (launch.stream != settings.stream) misuse("launched on a stream that nobody named");
  if (launch.block.y != 1 || launch.block.z != 1 || grid.y != 1 || grid.z != 1)
    misuse("not in one dimension");
  const auto allowed = allowed_shared.find(launch.kernel);
  const std::size_t most = allowed == allowed_shared.end() ? kSharedBytes : allowed->second;
  if (grid.x == 0 || grid.x > 2147483647U || launch.block.x == 0 || launch.block.x > 1024) {
    last_error = cudaErrorInvalidConfiguration;
    return;
  }
  if (launch.shared > most) {
    last_error = cudaErrorInvalidValue;
    return;
  }
  body = &work;
#if defined(CUDA_HOST_TSAN)
  main_tsan = __tsan_get_current_fiber();
#endif
  randomness.seed(settings.seed * 7919U + static_cast<unsigned>(counters.launches));
  std::vector<unsigned> numbers;
  for (unsigned b = std::min(settings.first_block, grid.x); b < grid.x; ++b) numbers.push_back(b);
  if (settings.order != Order::kInOrder) std::shuffle(numbers.begin(), numbers.end(), randomness);
  std::vector<std::unique_ptr<Block>> ended;  // freed when ThreadSanitizer knows that the launch has ended
  for (std::size_t first = 0; first < numbers.size(); first += kBlocksAtOnce) {
    std::vector<std::unique_ptr<Block>> blocks;
    for (std::size_t i = first; i < std::min(first + kBlocksAtOnce, numbers.size()); ++i) {
      blocks.push_back(make_block(launch, numbers[i]));
    }
    run(&blocks);
    for (std::unique_ptr<Block>& block : blocks) {
#if defined(CUDA_HOST_TSAN)
      for (Fiber& fiber : block->fibers) __tsan_destroy_fiber(fiber.tsan);
      ended.push_back(std::move(block));
#else
      for (Fiber& fiber : block->fibers) free_stacks.push_back(std::move(fiber.stack));
#endif
    }
  }
  learn(&launch_end);
  for (const std::unique_ptr<Block>& block : ended) {
    for (Fiber& fiber : block->fibers) free_stacks.push_back(std::move(fiber.stack));
  }
  body = nullptr;
  launched = nullptr;
}

cudaError_t allow_shared(const void* kernel, int bytes) {
  if (bytes < 0 || bytes > settings.shared_optin) return last_error = cudaErrorInvalidValue;
  allowed_shared[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}

int resident_blocks() { return settings.blocks_per_processor; }

std::int64_t cap(const char* name, std::int64_t value) {
  const auto found = settings.caps.find(name);
  return found == settings.caps.end() ? value : found->second;
}

}  // namespace cuda_host

cudaError_t cudaGetLastError() { return std::exchange(cuda_host::last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "the launch was refused";
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (stream != cuda_host::settings.stream) cuda_host::misuse("memset on a stream that nobody named");
  if (bytes > 0) std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 12040;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13020;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = cuda_host::settings.processors;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = cuda_host::settings.shared_optin;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
  }
  return cudaSuccess;
}
