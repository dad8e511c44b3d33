// Viterbi on CUDA: one launch does every step and the walk back. A thread is a to-tag; a unit of threads (a
// warp for up to 32 tags, else a block) is a sentence. Offsets are clamped to the tokens, tags come from
// comparisons: bad contents give wrong answers, never an access out of bounds.
#include <cuda_runtime.h>

#include "base/core/packed.h"
#include "ops/viterbi/core.h"
#include "ops/viterbi/viterbi.h"

namespace bioner::viterbi {
namespace {

constexpr int kWarp = 32;
constexpr int kUnitsPerBlock = 4;        // warps that share a block, for small tag sets
constexpr int kBackRows = 32;            // rows of back-pointers that the walk back stages at a time
constexpr int kSharedBytes = 48 * 1024;  // what every device grants without asking

template <bool kByWarp>
__device__ inline void sync_unit() {
  if constexpr (kByWarp) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

__device__ inline Best argmax(const double* alpha, const double* end, int tags) {
  Best best = Best::none();
  for (int tag = 0; tag < tags; ++tag) best.consider(end ? alpha[tag] + end[tag] : alpha[tag], tag);
  return best;
}

// Shared memory: transitions [tags, tags] where kSharedTransitions, end [tags]; then for each unit alpha [2,
// width] and kBackRows rows of back-pointers.
template <typename T, bool kByWarp, bool kSharedTransitions>
__global__ void decode_kernel(Params<T> p, std::uint8_t* back) {
  extern __shared__ double memory[];
  const int tags = p.tags;
  const int width = kByWarp ? kWarp : static_cast<int>(blockDim.x);
  const int units = kByWarp ? kUnitsPerBlock : 1;
  const int unit = kByWarp ? static_cast<int>(threadIdx.x) / kWarp : 0;
  const int j = kByWarp ? static_cast<int>(threadIdx.x) % kWarp : static_cast<int>(threadIdx.x);

  double* const transitions = memory;
  double* const end = transitions + (kSharedTransitions ? tags * tags : 0);
  double* const alpha = end + tags + unit * 2 * width;
  std::uint8_t* const stage =
      reinterpret_cast<std::uint8_t*>(end + tags + units * 2 * width) + unit * kBackRows * tags;
  if constexpr (kSharedTransitions) {
    for (int i = static_cast<int>(threadIdx.x); i < tags * tags; i += static_cast<int>(blockDim.x)) {
      transitions[i] = static_cast<double>(p.transitions[i]);
    }
  }
  for (int i = static_cast<int>(threadIdx.x); i < tags; i += static_cast<int>(blockDim.x)) {
    end[i] = p.end ? static_cast<double>(p.end[i]) : 0.0;
  }
  __syncthreads();

  const bool forward_argmax = p.readout == Readout::kForwardArgmax;
  const PackedOffsets offsets{p.offsets, p.sentences, p.tokens};
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * units + unit;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * units;
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
    }
    T upcoming = j < tags && length > 1 ? emissions[tags + j] : T(0);
    sync_unit<kByWarp>();
    for (std::int64_t t = 1; t < length; ++t) {
      const double* const previous = alpha + ((t - 1) & 1) * width;
      double* const current = alpha + (t & 1) * width;
      if (forward_argmax && j == 0) out[t - 1] = argmax(previous, nullptr, tags).tag;
      if (j < tags) {
        const double emission = static_cast<double>(upcoming);
        if (t + 1 < length) upcoming = emissions[(t + 1) * tags + j];
        Best best = Best::none();
        for (int i = 0; i < tags; ++i) {
          const int entry = i * tags + j;
          best.consider(previous[i] + (kSharedTransitions ? transitions[entry]
                                                          : static_cast<double>(p.transitions[entry])),
                        i);
        }
        current[j] = emission + best.score;
        if (!forward_argmax) sentence_back[t * tags + j] = static_cast<std::uint8_t>(best.tag);
      }
      sync_unit<kByWarp>();  // the two halves of alpha alternate, so one barrier a step is enough
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
        sync_unit<kByWarp>();
        if (j == 0) {
          for (int row = rows - 1; row >= 0; --row) {
            tag = stage[row * tags + tag];
            out[t - rows + row] = tag;
          }
        }
        t -= rows;
        sync_unit<kByWarp>();
      }
    }
    sync_unit<kByWarp>();
  }
}

}  // namespace

template <typename T>
int decode_cuda(const Params<T>& params, void* workspace, void* stream) {
  if (params.sentences == 0) return cudaSuccess;
  const int tags = params.tags;
  const bool by_warp = tags <= kWarp;
  const int units = by_warp ? kUnitsPerBlock : 1;
  const int width = (tags + kWarp - 1) / kWarp * kWarp;
  const int threads = width * units;
  const std::int64_t wanted = (params.sentences + units - 1) / units;
  const unsigned blocks = static_cast<unsigned>(wanted < (1 << 20) ? wanted : (1 << 20));
  std::size_t shared =
      (static_cast<std::size_t>(tags) + static_cast<std::size_t>(units) * 2 * width) * sizeof(double) +
      static_cast<std::size_t>(units) * kBackRows * tags;
  const std::size_t table = static_cast<std::size_t>(tags) * tags * sizeof(double);
  const bool shared_transitions = shared + table <= kSharedBytes;
  if (shared_transitions) shared += table;
  std::uint8_t* const back = static_cast<std::uint8_t*>(workspace);
  cudaStream_t const on = static_cast<cudaStream_t>(stream);
  if (by_warp) {
    decode_kernel<T, true, true><<<blocks, threads, shared, on>>>(params, back);
  } else if (shared_transitions) {
    decode_kernel<T, false, true><<<blocks, threads, shared, on>>>(params, back);
  } else {
    decode_kernel<T, false, false><<<blocks, threads, shared, on>>>(params, back);
  }
  return cudaGetLastError();
}

template int decode_cuda<float>(const Params<float>&, void*, void*);
template int decode_cuda<double>(const Params<double>&, void*, void*);

}  // namespace bioner::viterbi
