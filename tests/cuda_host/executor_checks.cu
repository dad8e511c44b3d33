// The executor's own tests: each case is a small kernel whose result, or whose fault, is known.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/runtime/cuda_status.h"
#include "executor.h"

namespace {

using cuda_host::Order;

constexpr int kThreads = 64;
constexpr int kBlocks = 5;

__global__ void exchanges_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const unsigned all = 0xFFFFFFFFU;
  int* const mine = out + (blockIdx.x * blockDim.x + threadIdx.x) * 8;
  mine[0] = __shfl_sync(all, lane, 5, 8);
  mine[1] = __shfl_up_sync(all, lane, 3);
  mine[2] = __shfl_down_sync(all, lane, 3, 16);
  mine[3] = __shfl_xor_sync(all, lane, 1);
  mine[4] = static_cast<int>(__ballot_sync(all, lane % 3 == 0));
  mine[5] = __any_sync(all, lane == 31) + 2 * __all_sync(all, lane < 31);
  mine[6] = __syncthreads_count(threadIdx.x < 10);
  mine[7] = __syncthreads_or(threadIdx.x == 1) + 2 * __syncthreads_and(threadIdx.x != 1);
}

// The halves of a warp wait among themselves, different numbers of times.
__global__ void halves_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const unsigned mask = lane < 16 ? 0x0000FFFFU : 0xFFFF0000U;
  int sum = lane;
  for (int turn = 0; turn < (lane < 16 ? 2 : 7); ++turn) sum += __shfl_xor_sync(mask, sum, 1, 16);
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

__global__ void shared_kernel(int* out) {
  extern __shared__ int numbers[];
  __shared__ double halves[kThreads];
  const unsigned t = threadIdx.x;
  numbers[t] = static_cast<int>(t);
  halves[t] = t / 2.0;
  __syncthreads();
  const unsigned other = blockDim.x - 1 - t;
  atomicAdd(out, numbers[other] + static_cast<int>(halves[other]));
  atomicMax(out + 1, numbers[other]);
}

__global__ void fresh_kernel(double* out) {
  extern __shared__ double memory[];
  if (threadIdx.x == 0) out[blockIdx.x] = memory[0];
}

// ---- Faults

__global__ void race_kernel(int* out) {
  extern __shared__ int numbers[];
  numbers[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();  // and not of the block
  out[blockIdx.x * blockDim.x + threadIdx.x] = numbers[blockDim.x - 1 - threadIdx.x];
}

__global__ void beyond_kernel(int* out, int index) {
  extern __shared__ int numbers[];
  numbers[index] = 1;
  __syncthreads();
  out[0] = numbers[0];
}

__global__ void different_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void early_kernel() {
  if (threadIdx.x == 3) return;
  __syncthreads();
}

__global__ void early_lane_kernel() {
  if (threadIdx.x == 3) return;
  __syncwarp();
}

__global__ void deadlock_kernel() {
  if (threadIdx.x == 3) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

__global__ void absent_kernel(int* out) { out[0] = __shfl_sync(0x0000FFFFU, 1, 20); }

int failures = 0;

void expect(bool good, const char* what) {
  if (good) return;
  ++failures;
  std::printf("FAIL %s\n", what);
}

void check_results() {
  std::vector<int> memory(kBlocks * kThreads * 8);
  int* const out = memory.data();  // launches copy what they capture
  exchanges_kernel<<<kBlocks, kThreads>>>(out);
  bool good = true;
  for (int i = 0; i < kBlocks * kThreads; ++i) {
    const int lane = i % 32;
    const int want[8] = {lane / 8 * 8 + 5,
                         lane < 3 ? lane : lane - 3,
                         lane % 16 > 12 ? lane : lane + 3,
                         lane ^ 1,
                         0x49249249,
                         1,
                         10,
                         1};
    good &= std::memcmp(want, out + i * 8, sizeof want) == 0;
  }
  expect(good, "exchanges");
  halves_kernel<<<kBlocks, kThreads>>>(out);
  good = true;
  for (int i = 0; i < kBlocks * kThreads; ++i) {
    const int lane = i % 32;
    const int pair = lane + (lane ^ 1);  // both lanes hold the sum after the first turn
    good &= out[i] == (lane < 16 ? pair * 2 : pair * 64);
  }
  expect(good, "halves of a warp");
  out[0] = out[1] = 0;
  shared_kernel<<<kBlocks, kThreads, kThreads * sizeof(int)>>>(out);
  int sum = 0;
  for (int t = 0; t < kThreads; ++t) sum += kBlocks * (t + t / 2);
  expect(out[0] == sum && out[1] == kThreads - 1, "shared memory and atomics");
  std::vector<double> first(kBlocks);
  double* const fresh = first.data();
  fresh_kernel<<<kBlocks, kThreads, 8>>>(fresh);
  for (const double value : first) expect(value != value, "shared memory is poisoned");
  cudaFuncSetAttribute(&fresh_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 48 * 1024);
  fresh_kernel<<<1, kThreads, 49 * 1024>>>(fresh);
  expect(cudaGetLastError() != cudaSuccess, "49 KiB unasked");
  cudaFuncSetAttribute(&fresh_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 * 1024);
  fresh_kernel<<<1, kThreads, 49 * 1024>>>(fresh);
  expect(cudaGetLastError() == cudaSuccess, "49 KiB that were asked for");
  fresh_kernel<<<1, 1025, 8>>>(fresh);
  expect(cudaGetLastError() != cudaSuccess && cudaGetLastError() == cudaSuccess, "1025 threads");
}

void check_errors() {
  const auto says = [](cudaError_t status, const char* part) {
    expect(bioner::cuda_status_text(status).find(part) != std::string::npos, part);
  };
  says(cudaErrorInsufficientDriver, "it knows CUDA 12.4, this build needs 13.2; update the driver");
  says(cudaErrorNoKernelImageForDevice, "no code for a device of compute capability 9.0");
  says(cudaErrorInvalidValue, "the launch was refused");
}

// A race gives another result in some order.
void check_race() {
  std::vector<int> memory(kBlocks * kThreads);
  int* const out = memory.data();
  bool good = true;
  for (int order = 0; order < cuda_host::kOrders; ++order) {
    cuda_host::settings.order = static_cast<Order>(order);
    race_kernel<<<kBlocks, kThreads, kThreads * sizeof(int)>>>(out);
    for (int i = 0; i < kBlocks * kThreads; ++i) good &= out[i] == kThreads - 1 - i % kThreads;
  }
  expect(good, "race");
}

}  // namespace

// executor_checks [FAULT]: without one, what must work.
int main(int count, char** arguments) {
  const std::string fault = count > 1 ? arguments[1] : "";
  std::vector<int> memory(kThreads);
  int* const out = memory.data();
  if (fault.empty()) {
    for (int order = 0; order < cuda_host::kOrders; ++order) {
      cuda_host::settings.order = static_cast<Order>(order);
      check_results();
    }
    check_errors();
  } else if (fault == "race") {
    check_race();
  } else if (fault == "beyond") {
    beyond_kernel<<<1, 32, 64>>>(out, 16);
  } else if (fault == "different") {
    different_kernel<<<1, kThreads>>>();
  } else if (fault == "early") {
    early_kernel<<<1, kThreads>>>();
  } else if (fault == "early-lane") {
    early_lane_kernel<<<1, kThreads>>>();
  } else if (fault == "deadlock") {
    deadlock_kernel<<<1, 32>>>();
  } else if (fault == "absent") {
    absent_kernel<<<1, kThreads>>>(out);
  } else if (fault == "stream") {
    early_kernel<<<1, 1, 0, reinterpret_cast<cudaStream_t>(8)>>>();
  }
  return failures != 0;
}
