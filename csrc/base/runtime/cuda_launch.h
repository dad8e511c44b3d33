// What launchers ask of the current device. For .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace bioner::cuda {

constexpr std::size_t kSharedBytes = 48 * 1024;  // what every device grants a block without asking

inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&value, attribute, device);
  return value;
}

// The most shared memory that a block can have if its launcher calls allow_shared().
inline std::size_t most_shared() {
  const int bytes = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  return bytes > static_cast<int>(kSharedBytes) ? static_cast<std::size_t>(bytes) : kSharedBytes;
}

// Makes launches of `kernel` with so much dynamic shared memory possible. Always asks for all there is: two
// threads that launch the kernel with other amounts must not take back what the other asked for.
template <typename Kernel>
cudaError_t allow_shared(Kernel* kernel, std::size_t bytes) {
  if (bytes <= kSharedBytes) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(most_shared()));
}

// Blocks to launch for `wanted` of them that take turns: no more than the device holds at once, so that what
// a block does before its first sentence is done once. Call after allow_shared().
template <typename Kernel>
unsigned resident_blocks(Kernel* kernel, int threads, std::size_t shared, std::int64_t wanted) {
  int of_a_processor = 0;
  const cudaError_t status =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_a_processor, kernel, threads, shared);
  std::int64_t most = std::int64_t{1} << 16;
  if (status == cudaSuccess && of_a_processor > 0) {
    most = std::int64_t{of_a_processor} * device_attribute(cudaDevAttrMultiProcessorCount);
  }
  if (most < 1) most = 1;
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

}  // namespace bioner::cuda
