// Viterbi on CUDA: one launch does every step and the walk back. A thread is a to-tag; a unit of threads is a
// sentence: 4, 8, 16 or 32 lanes of a warp, as many as the tags need, or a block. Up to 16 tags, several
// sentences share a warp, and a lane keeps its column of transitions in registers. Offsets are clamped to the
// tokens, tags come from comparisons: bad contents give wrong answers, never an access out of bounds.
#include <cuda_runtime.h>

#include "base/core/packed.h"
#include "base/runtime/cuda_launch.h"
#include "ops/viterbi/core.h"
#include "ops/viterbi/viterbi.h"

namespace bioner::viterbi {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 128;    // of a block whose units are parts of warps
constexpr int kBackRows = 32;    // rows of back-pointers that the walk back stages at a time
constexpr int kBlock = 0;        // for kLanes: the unit is the block
constexpr int kMostColumn = 16;  // rows of a column that a thread keeps in registers

struct alignas(16) Pair {
  double first;
  double second;
};

// The threads of a sentence.
template <int kLanes>
struct Unit {
  int width;   // threads
  int count;   // units of the block
  int number;  // of this thread's unit in the block
  int j;       // of this thread in its unit
  unsigned mask;

  __device__ static Unit of_this_thread() {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (kLanes == kBlock) {
      return {static_cast<int>(blockDim.x), 1, 0, thread, 0};
    } else {
      const unsigned lanes = kLanes == kWarp ? 0xFFFFFFFFU : (1U << (kLanes % kWarp)) - 1U;
      return {kLanes, kThreads / kLanes, thread / kLanes, thread % kLanes,
              lanes << (thread % kWarp / kLanes * kLanes)};
    }
  }

  __device__ void sync() const {
    if constexpr (kLanes == kBlock) {
      __syncthreads();
    } else {
      __syncwarp(mask);
    }
  }
};

__device__ inline Best argmax(const double* alpha, const double* end, int tags) {
  Best best = Best::none();
  for (int tag = 0; tag < tags; ++tag) best.consider(end ? alpha[tag] + end[tag] : alpha[tag], tag);
  return best;
}

// The best way to the tag of a thread whose column of transitions is in registers. Beyond the tags, both
// alpha and the column are -inf, which never wins.
template <int kRows>
__device__ inline Best best_of(const double* previous, const double (&column)[kRows]) {
  Best best = Best::none();
#pragma unroll
  for (int i = 0; i < kRows; i += 2) {
    const Pair pair = reinterpret_cast<const Pair*>(previous)[i / 2];
    best.consider(pair.first + column[i], i);
    best.consider(pair.second + column[i + 1], i + 1);
  }
  return best;
}

// Shared memory: for each unit alpha [2, width]; end [tags]; transitions [tags, tags] where
// kSharedTransitions; for each unit kBackRows rows of back-pointers.
template <typename T, int kLanes, bool kSharedTransitions>
__global__ void decode_kernel(Params<T> p, std::uint8_t* back) {
  extern __shared__ double memory[];
  constexpr bool kRegisters = kLanes != kBlock && kLanes <= kMostColumn;
  const int tags = p.tags;
  const Unit<kLanes> unit = Unit<kLanes>::of_this_thread();
  const int width = unit.width;
  const int j = unit.j;

  double* const alpha = memory + unit.number * 2 * width;
  double* const end = memory + unit.count * 2 * width;
  double* const transitions = end + tags;
  std::uint8_t* const stages =
      reinterpret_cast<std::uint8_t*>(transitions + (kSharedTransitions ? tags * tags : 0));
  std::uint8_t* const stage = stages + unit.number * kBackRows * tags;
  if constexpr (kSharedTransitions) {
    for (int i = static_cast<int>(threadIdx.x); i < tags * tags; i += static_cast<int>(blockDim.x)) {
      transitions[i] = static_cast<double>(p.transitions[i]);
    }
  }
  for (int i = static_cast<int>(threadIdx.x); i < tags; i += static_cast<int>(blockDim.x)) {
    end[i] = p.end ? static_cast<double>(p.end[i]) : 0.0;
  }
  double column[kRegisters ? kLanes : 2];
  if constexpr (kRegisters) {
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      column[i] = i < tags && j < tags ? static_cast<double>(p.transitions[i * tags + j]) : -HUGE_VAL;
    }
  }
  __syncthreads();

  const bool forward_argmax = p.readout == Readout::kForwardArgmax;
  const PackedOffsets offsets{p.offsets, p.sentences, p.tokens};
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * unit.count + unit.number;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * unit.count;
  for (std::int64_t b = first; b < p.sentences; b += step) {
    const TokenRange range = offsets.sentence(b);
    const std::int64_t length = range.end - range.begin;
    if (length == 0) {
      if (j == 0) p.out_scores[b] = 0;
      continue;
    }
    const T* emissions = p.emissions + range.begin * tags;
    std::uint8_t* const sentence_back = back + range.begin * tags;
    std::int64_t* const out = p.out_tags + range.begin;
    if (j < tags) {
      alpha[j] = static_cast<double>(emissions[j]) + (p.start ? static_cast<double>(p.start[j]) : 0.0);
    } else {
      alpha[j] = alpha[width + j] = -HUGE_VAL;
    }
    T upcoming = j < tags && length > 1 ? emissions[tags + j] : T(0);
    unit.sync();
    for (std::int64_t t = 1; t < length; ++t) {
      const double* const previous = alpha + ((t - 1) & 1) * width;
      double* const current = alpha + (t & 1) * width;
      if (forward_argmax && j == 0) out[t - 1] = argmax(previous, nullptr, tags).tag;
      if (j < tags) {
        const double emission = static_cast<double>(upcoming);
        if (t + 1 < length) upcoming = emissions[(t + 1) * tags + j];
        Best best = Best::none();
        if constexpr (kRegisters) {
          best = best_of(previous, column);
        } else {
          for (int i = 0; i < tags; ++i) {
            const int entry = i * tags + j;
            best.consider(previous[i] + (kSharedTransitions ? transitions[entry]
                                                            : static_cast<double>(p.transitions[entry])),
                          i);
          }
        }
        current[j] = emission + best.score;
        if (!forward_argmax) sentence_back[t * tags + j] = static_cast<std::uint8_t>(best.tag);
      }
      unit.sync();  // the two halves of alpha alternate, so one barrier a step is enough
    }
    int tag = 0;
    if (j == 0) {
      const Best best = argmax(alpha + ((length - 1) & 1) * width, end, tags);
      tag = best.tag;
      out[length - 1] = tag;
      p.out_scores[b] = static_cast<T>(best.score);
    }
    if (!forward_argmax) {
      for (std::int64_t t = length - 1; t > 0;) {
        const int rows = static_cast<int>(t < kBackRows ? t : kBackRows);  // rows t - rows + 1 .. t
        const std::uint8_t* const source = sentence_back + (t - rows + 1) * tags;
        for (int i = j; i < rows * tags; i += width) stage[i] = source[i];
        unit.sync();
        if (j == 0) {
          for (int row = rows - 1; row >= 0; --row) {
            tag = stage[row * tags + tag];
            out[t - rows + row] = tag;
          }
        }
        t -= rows;
        unit.sync();
      }
    }
    unit.sync();
  }
}

template <typename T, int kLanes, bool kSharedTransitions>
int launch(const Params<T>& params, std::uint8_t* back, int threads, std::size_t shared,
           cudaStream_t stream) {
  const auto kernel = &decode_kernel<T, kLanes, kSharedTransitions>;
  if (const cudaError_t status = cuda::allow_shared(kernel, shared); status != cudaSuccess) return status;
  const std::int64_t units = kLanes == kBlock ? 1 : kThreads / (kLanes == kBlock ? 1 : kLanes);
  const std::int64_t wanted = (params.sentences + units - 1) / units;
  const unsigned blocks = cuda::resident_blocks(kernel, threads, shared, wanted);
  decode_kernel<T, kLanes, kSharedTransitions><<<blocks, threads, shared, stream>>>(params, back);
  return cudaGetLastError();
}

}  // namespace

template <typename T>
int decode_cuda(const Params<T>& params, void* workspace, void* stream) {
  if (params.sentences == 0) return cudaSuccess;
  const int tags = params.tags;
  const int lanes = tags <= 4 ? 4 : (tags <= 8 ? 8 : (tags <= 16 ? 16 : (tags <= kWarp ? kWarp : kBlock)));
  const int width = lanes == kBlock ? (tags + kWarp - 1) / kWarp * kWarp : lanes;
  const int threads = lanes == kBlock ? width : kThreads;
  const std::size_t units = static_cast<std::size_t>(threads / width);
  const std::size_t table = static_cast<std::size_t>(tags) * static_cast<std::size_t>(tags) * sizeof(double);
  const std::size_t shared =
      (units * 2 * static_cast<std::size_t>(width) + static_cast<std::size_t>(tags)) * sizeof(double) +
      units * kBackRows * static_cast<std::size_t>(tags);
  std::uint8_t* const back = static_cast<std::uint8_t*>(workspace);
  cudaStream_t const on = static_cast<cudaStream_t>(stream);
  switch (lanes) {
    case 4:
      return launch<T, 4, false>(params, back, threads, shared, on);
    case 8:
      return launch<T, 8, false>(params, back, threads, shared, on);
    case 16:
      return launch<T, 16, false>(params, back, threads, shared, on);
    case kWarp:
      return launch<T, kWarp, true>(params, back, threads, shared + table, on);
    default:
      break;
  }
  if (shared + table <= cuda::most_shared()) {
    return launch<T, kBlock, true>(params, back, threads, shared + table, on);
  }
  return launch<T, kBlock, false>(params, back, threads, shared, on);
}

template int decode_cuda<float>(const Params<float>&, void*, void*);
template int decode_cuda<double>(const Params<double>&, void*, void*);

}  // namespace bioner::viterbi
