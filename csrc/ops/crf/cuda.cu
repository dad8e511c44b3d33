// CRF on CUDA, in the log domain: a block is a sentence, a thread is a tag. Sums over the batch go through
// one partial sum per block, added in order by a second kernel: no atomics, so gradients are deterministic.
// Offsets and tags are clamped: bad contents give wrong answers, never an access out of bounds.
#include <cuda_runtime.h>

#include "base/core/packed.h"
#include "ops/crf/core.h"
#include "ops/crf/crf.h"

namespace bioner::crf {
namespace {

constexpr int kWarp = 32;
constexpr std::size_t kPartialBytes = std::size_t{64} << 20;

int width_of(int tags) { return (tags + kWarp - 1) / kWarp * kWarp; }

// Blocks that keep partial sums. Depends on the input alone, so that the order of the sums does.
std::int64_t partial_blocks(std::int64_t sentences, int tags) {
  const std::int64_t most = static_cast<std::int64_t>(kPartialBytes / (sizeof(double) * tags * tags));
  const std::int64_t count = most < 16 ? 16 : (most > 1024 ? 1024 : most);
  return sentences < count ? sentences : count;
}

std::size_t partial_doubles(int tags) {
  return static_cast<std::size_t>(tags) * tags + 2 * static_cast<std::size_t>(tags);
}

template <typename T>
__device__ inline double at(const T* values, int index) {
  return values ? static_cast<double>(values[index]) : 0.0;
}

// Every thread calls it; every thread gets log Z. `alpha` is shared memory [2, width]. `rows`, where given,
// keeps all of alpha ([length, tags]).
template <typename T>
__device__ double forward(const Params<T>& p, const T* emissions, std::int64_t length, double* alpha,
                          double* rows, double* result) {
  const int j = static_cast<int>(threadIdx.x);
  const int width = static_cast<int>(blockDim.x);
  if (j < p.tags) {
    alpha[j] = static_cast<double>(emissions[j]) + at(p.start, j);
    if (rows) rows[j] = alpha[j];
  }
  __syncthreads();
  for (std::int64_t t = 1; t < length; ++t) {
    const double* const before = alpha + ((t - 1) & 1) * width;
    if (j < p.tags) {
      const double value = static_cast<double>(emissions[t * p.tags + j]) +
                           log_product(before, p.transitions + j, p.tags, p.tags);
      alpha[(t & 1) * width + j] = value;
      if (rows) rows[t * p.tags + j] = value;
    }
    __syncthreads();
  }
  if (j == 0) {
    const double* const last = alpha + ((length - 1) & 1) * width;
    LogSum sum;
    for (int i = 0; i < p.tags; ++i) sum.bound(last[i] + at(p.end, i));
    for (int i = 0; i < p.tags; ++i) sum.add(last[i] + at(p.end, i));
    *result = sum.total();
  }
  __syncthreads();
  return *result;
}

template <typename T>
__device__ inline int gold_at(const Params<T>& p, std::int64_t token) {
  const std::int64_t tag = p.gold[token];
  return static_cast<int>(tag < 0 ? 0 : (tag < p.tags ? tag : p.tags - 1));
}

// Every thread calls it and gets the score of the gold path. `sums` is shared memory [width].
template <typename T>
__device__ double gold_score(const Params<T>& p, TokenRange range, double* sums, double* result) {
  double sum = 0.0;
  for (std::int64_t t = range.begin + threadIdx.x; t < range.end; t += blockDim.x) {
    const int tag = gold_at(p, t);
    sum += static_cast<double>(p.emissions[t * p.tags + tag]);
    if (t > range.begin) sum += static_cast<double>(p.transitions[gold_at(p, t - 1) * p.tags + tag]);
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    double score = at(p.start, gold_at(p, range.begin)) + at(p.end, gold_at(p, range.end - 1));
    for (unsigned i = 0; i < blockDim.x; ++i) score += sums[i];
    *result = score;
  }
  __syncthreads();
  return *result;
}

template <typename T>
__global__ void log_likelihood_kernel(Params<T> p, T* out) {
  extern __shared__ double memory[];  // alpha [2, width], two results
  double* const results = memory + 2 * blockDim.x;
  const PackedOffsets offsets{p.offsets, p.sentences, p.tokens};
  for (std::int64_t b = blockIdx.x; b < p.sentences; b += gridDim.x) {
    const TokenRange range = offsets.sentence(b);
    double value = 0.0;
    if (range.begin < range.end) {
      const double log_z = forward(p, p.emissions + range.begin * p.tags, range.end - range.begin, memory,
                                   static_cast<double*>(nullptr), results);
      const double score = gold_score(p, range, memory, results + 1);
      value = score == -HUGE_VAL && log_z == log_z ? score : score - log_z;
    }
    if (threadIdx.x == 0) out[b] = static_cast<T>(value);
    __syncthreads();
  }
}

// Posteriors (kGradients: times -upstream, plus upstream at the gold tag) and, into the partial sums of this
// block, the other gradients. `rows` [tokens, tags] keeps alpha. Partial sums: [to, from], then start, end.
template <typename T, bool kGradients>
__global__ void posterior_kernel(Params<T> p, const T* upstream, T* out, bool pairs, double* rows,
                                 double* partials) {
  extern __shared__ double memory[];  // alpha and beta [2, width], emission + beta [width], two results
  const int width = static_cast<int>(blockDim.x);
  const int tags = p.tags;
  const int j = static_cast<int>(threadIdx.x);
  double* const ahead = memory + 2 * width;
  double* const results = ahead + width;
  const PackedOffsets offsets{p.offsets, p.sentences, p.tokens};
  double* const sums =
      kGradients ? partials + blockIdx.x * (static_cast<std::size_t>(tags) * tags + 2 * tags) : nullptr;
  if (kGradients) {
    for (int i = j; i < tags * tags + 2 * tags; i += width) sums[i] = 0.0;
    __syncthreads();
  }
  for (std::int64_t b = blockIdx.x; b < p.sentences; b += gridDim.x) {
    const TokenRange range = offsets.sentence(b);
    const std::int64_t length = range.end - range.begin;
    if (length == 0) continue;
    const T* const emissions = p.emissions + range.begin * tags;
    double* const alpha = rows + range.begin * tags;
    T* const target = out + range.begin * tags;
    const double factor = kGradients ? -static_cast<double>(upstream[b]) : 1.0;
    bool possible = factor != 0.0;
    double log_z = 0.0;
    if (possible) {
      log_z = forward(p, emissions, length, memory, alpha, results);
      if (kGradients) possible = gold_score(p, range, memory, results + 1) != -HUGE_VAL;
    }
    if (!possible) {
      for (std::int64_t i = j; i < length * tags; i += width) target[i] = T(0);
      __syncthreads();
      continue;
    }
    if (j < tags) memory[j] = at(p.end, j);  // beta; one half is read while the other is written
    for (std::int64_t t = length - 1;; --t) {
      const double* const beta = memory + ((length - 1 - t) & 1) * width;
      const int gold = kGradients ? gold_at(p, range.begin + t) : -1;
      if (j < tags) {
        double value = factor * share_of(alpha[t * tags + j] + beta[j], log_z);
        if (j == gold) value -= factor;
        target[t * tags + j] = static_cast<T>(value);
        if (kGradients && t == 0) sums[tags * tags + j] += value;
        if (kGradients && t == length - 1) sums[tags * tags + tags + j] += value;
        ahead[j] = static_cast<double>(emissions[t * tags + j]) + beta[j];
      }
      if (t == 0) break;
      __syncthreads();
      if (j < tags) {
        const T* const row = p.transitions + j * tags;
        memory[((length - t) & 1) * width + j] = log_product(ahead, row, tags, 1);
        if (kGradients && pairs) {
          const double before = alpha[(t - 1) * tags + j];
          for (int to = 0; to < tags; ++to) {
            sums[to * tags + j] +=
                factor * share_of(before + static_cast<double>(row[to]) + ahead[to], log_z);
          }
          if (j == gold_at(p, range.begin + t - 1)) sums[gold * tags + j] -= factor;
        }
      }
      __syncthreads();
    }
    __syncthreads();
  }
}

template <typename T>
__global__ void reduce_kernel(const double* partials, std::int64_t blocks, int tags, Gradients<T> gradients) {
  const int entry = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int count = tags * tags + 2 * tags;
  if (entry >= count) return;
  double sum = 0.0;
  for (std::int64_t b = 0; b < blocks; ++b) sum += partials[b * count + entry];
  if (entry < tags * tags) {
    if (gradients.transitions)
      gradients.transitions[entry % tags * tags + entry / tags] = static_cast<T>(sum);
  } else if (entry < tags * tags + tags) {
    if (gradients.start) gradients.start[entry - tags * tags] = static_cast<T>(sum);
  } else if (gradients.end) {
    gradients.end[entry - tags * tags - tags] = static_cast<T>(sum);
  }
}

unsigned grid_of(std::int64_t sentences) {
  return static_cast<unsigned>(sentences < (1 << 20) ? sentences : (1 << 20));
}

}  // namespace

std::size_t cuda_workspace_bytes(std::int64_t tokens, std::int64_t sentences, int tags, Task task) {
  if (task == Task::kLogLikelihood) return 0;
  std::size_t doubles = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(tags);
  if (task == Task::kGradients) {
    doubles += static_cast<std::size_t>(partial_blocks(sentences, tags)) * partial_doubles(tags);
  }
  return doubles * sizeof(double);
}

template <typename T>
int log_likelihood_cuda(const Params<T>& params, void* stream, T* out) {
  if (params.sentences == 0) return cudaSuccess;
  const int width = width_of(params.tags);
  const std::size_t shared = (2 * static_cast<std::size_t>(width) + 2) * sizeof(double);
  log_likelihood_kernel<<<grid_of(params.sentences), width, shared, static_cast<cudaStream_t>(stream)>>>(
      params, out);
  return cudaGetLastError();
}

template <typename T>
int marginals_cuda(const Params<T>& params, void* workspace, void* stream, T* out) {
  if (params.sentences == 0) return cudaSuccess;
  const int width = width_of(params.tags);
  const std::size_t shared = (3 * static_cast<std::size_t>(width) + 2) * sizeof(double);
  posterior_kernel<T, false><<<grid_of(params.sentences), width, shared, static_cast<cudaStream_t>(stream)>>>(
      params, nullptr, out, false, static_cast<double*>(workspace), nullptr);
  return cudaGetLastError();
}

template <typename T>
int gradients_cuda(const Params<T>& params, void* workspace, void* stream, const Gradients<T>& gradients) {
  cudaStream_t const on = static_cast<cudaStream_t>(stream);
  const int tags = params.tags;
  const int width = width_of(tags);
  const std::int64_t blocks = partial_blocks(params.sentences, tags);
  double* const rows = static_cast<double*>(workspace);
  double* const partials = rows + params.tokens * tags;
  if (blocks > 0) {
    const std::size_t shared = (3 * static_cast<std::size_t>(width) + 2) * sizeof(double);
    posterior_kernel<T, true><<<static_cast<unsigned>(blocks), width, shared, on>>>(
        params, gradients.upstream, gradients.emissions, gradients.transitions != nullptr, rows, partials);
    const int status = cudaGetLastError();
    if (status != cudaSuccess) return status;
  }
  const int entries = tags * tags + 2 * tags;
  reduce_kernel<<<static_cast<unsigned>((entries + 255) / 256), 256, 0, on>>>(partials, blocks, tags,
                                                                              gradients);
  return cudaGetLastError();
}

#define BIONER_INSTANTIATE(T)                                         \
  template int log_likelihood_cuda<T>(const Params<T>&, void*, T*);   \
  template int marginals_cuda<T>(const Params<T>&, void*, void*, T*); \
  template int gradients_cuda<T>(const Params<T>&, void*, void*, const Gradients<T>&);
BIONER_INSTANTIATE(float)
BIONER_INSTANTIATE(double)
#undef BIONER_INSTANTIATE

}  // namespace bioner::crf
