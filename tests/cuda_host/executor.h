// What the cases set and read of the executor. See include/cuda_runtime.h for what kernels see of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cuda_runtime.h"

namespace cuda_host {

// Who runs next, between two barriers.
enum class Order {
  kInOrder,    // threads and blocks by their numbers
  kRandom,     // in any order
  kHalf,       // in any order, and only half of them before barriers are looked at again
  kWarpAhead,  // one warp as far as it gets, mostly
};
constexpr int kOrders = 4;

struct Settings {
  Order order = Order::kInOrder;
  unsigned seed = 1;
  cudaStream_t stream = nullptr;  // every launch must be on it
  unsigned first_block = 0;       // blocks before it are left out, for tensors too large to run whole
  int processors = 132;           // of the device
  int blocks_per_processor = 16;
  int shared_optin = 227 * 1024;  // the most that a block may have if it asks
  std::map<std::string, std::int64_t> caps;
};
extern Settings settings;

struct Counters {
  std::int64_t launches = 0;
  std::int64_t switches = 0;
  unsigned most_blocks = 0;  // of a launch
};
extern Counters counters;

}  // namespace cuda_host
