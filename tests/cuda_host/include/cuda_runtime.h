// CUDA for kernels that run on the CPU: every thread of a block is a fiber (executor.cpp). rewrite.py turns
// what C++ cannot parse, launches and shared arrays, into calls of this header. It holds what the kernels
// use, and the other exchanges of a warp; anything else does not compile.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
};
struct CUstream_st;
using cudaStream_t = CUstream_st*;

cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);

namespace cuda_host {

using Where = std::source_location;

struct Thread {  // what a kernel sees of its own thread
  dim3 thread, block, block_dim, grid_dim;
};
const Thread& self();

struct Launch {
  const char* name;
  const void* kernel;
  dim3 grid;
  dim3 block;
  std::size_t shared = 0;
  cudaStream_t stream = nullptr;
};
void launch(const Launch& launch, const std::function<void()>& body);

void* dynamic_shared();
void* static_shared(const char* name, int line, std::size_t bytes);

// A barrier of the block; afterwards every thread knows in how many the predicate held.
int sync_block(bool predicate, const char* what, Where where);
// A barrier of the lanes in `mask`; afterwards every lane has the values of all 32 (of others: zeros).
const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const char* what, Where where);

// The value of a lane of the warp. That the lane takes part is checked.
std::uint64_t value_of(const std::uint64_t* values, unsigned mask, int lane, const char* what, Where where);

cudaError_t allow_shared(const void* kernel, int bytes);
int resident_blocks();

// A constant of the sources that rewrite.py was asked to make a variable (--cap): the value that the cases
// want, else the constant.
std::int64_t cap(const char* name, std::int64_t value);

inline int lane() { return static_cast<int>(self().thread.x % 32); }

template <typename T>
T shuffle(unsigned mask, T value, int from, const char* what, Where where) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  word = value_of(exchange(mask, word, what, where), mask, from, what, where);
  std::memcpy(&value, &word, sizeof value);
  return value;
}

template <typename T>
std::atomic_ref<T> at(T* address) {
  return std::atomic_ref<T>(*address);
}

}  // namespace cuda_host

#define threadIdx (::cuda_host::self().thread)
#define blockIdx (::cuda_host::self().block)
#define blockDim (::cuda_host::self().block_dim)
#define gridDim (::cuda_host::self().grid_dim)

inline void __syncthreads(cuda_host::Where where = cuda_host::Where::current()) {
  cuda_host::sync_block(false, "__syncthreads", where);
}
inline int __syncthreads_count(int predicate, cuda_host::Where where = cuda_host::Where::current()) {
  return cuda_host::sync_block(predicate != 0, "__syncthreads_count", where);
}
inline int __syncthreads_or(int predicate, cuda_host::Where where = cuda_host::Where::current()) {
  return cuda_host::sync_block(predicate != 0, "__syncthreads_or", where) > 0;
}
inline int __syncthreads_and(int predicate, cuda_host::Where where = cuda_host::Where::current()) {
  return cuda_host::sync_block(predicate == 0, "__syncthreads_and", where) == 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, cuda_host::Where where = cuda_host::Where::current()) {
  cuda_host::exchange(mask, 0, "__syncwarp", where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              cuda_host::Where where = cuda_host::Where::current()) {
  const std::uint64_t* const values = cuda_host::exchange(mask, predicate != 0, "__ballot_sync", where);
  unsigned ballot = 0;
  for (int i = 0; i < 32; ++i) ballot |= values[i] != 0 ? 1U << i : 0;
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate, cuda_host::Where where = cuda_host::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, cuda_host::Where where = cuda_host::Where::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}

// `width` lanes shuffle among themselves; who would read beyond them keeps its own value.
template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32,
              cuda_host::Where where = cuda_host::Where::current()) {
  const int first = cuda_host::lane() & ~(width - 1);
  return cuda_host::shuffle(mask, value, first + (from & (width - 1)), "__shfl_sync", where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32,
                 cuda_host::Where where = cuda_host::Where::current()) {
  const int lane = cuda_host::lane();
  const int from = lane - static_cast<int>(by);
  return cuda_host::shuffle(mask, value, from < (lane & ~(width - 1)) ? lane : from, "__shfl_up_sync", where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                   cuda_host::Where where = cuda_host::Where::current()) {
  const int lane = cuda_host::lane();
  const int from = lane + static_cast<int>(by);
  const bool beyond = from > (lane | (width - 1));
  return cuda_host::shuffle(mask, value, beyond ? lane : from, "__shfl_down_sync", where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  cuda_host::Where where = cuda_host::Where::current()) {
  const int lane = cuda_host::lane();
  const int from = lane ^ lanes;
  const bool beyond = from > (lane | (width - 1));
  return cuda_host::shuffle(mask, value, beyond ? lane : from, "__shfl_xor_sync", where);
}

template <typename T>
T atomicAdd(T* address, T value) {
  return cuda_host::at(address).fetch_add(value, std::memory_order_relaxed);
}
template <typename T>
T atomicExch(T* address, T value) {
  return cuda_host::at(address).exchange(value, std::memory_order_relaxed);
}
template <typename T>
T atomicCAS(T* address, T expected, T value) {
  cuda_host::at(address).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}
template <typename T>
T atomicMax(T* address, T value) {
  T seen = cuda_host::at(address).load(std::memory_order_relaxed);
  while (seen < value && !cuda_host::at(address).compare_exchange_weak(seen, value)) {
  }
  return seen;
}

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  return cuda_host::allow_shared(reinterpret_cast<const void*>(kernel), value);
}
template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, std::size_t) {
  *blocks = cuda_host::resident_blocks();
  return cudaSuccess;
}
