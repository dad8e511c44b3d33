// CUDA launchers of the window kernels. Offsets and ids arrive unchecked, so everything read from them is
// clamped. Sums have a fixed order and no atomics: the same input gives the same bits.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "ops/window/core.h"

namespace bioner::window::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 64;  // tokens a block handles; their sentences are searched for in parallel

__device__ TokenRange find_sentence(const PackedOffsets& sentences, std::int64_t token) {
  return sentences.sentence(sentences.sentence_of(token));
}

// Every thread of the block calls it; afterwards `ranges` holds the sentence of each token of the tile.
__device__ void load_sentences(const PackedOffsets& sentences, std::int64_t first, int count,
                               TokenRange* ranges) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads)
    ranges[i] = find_sentence(sentences, first + i);
  __syncthreads();
}

__device__ int tile_count(std::int64_t tokens, std::int64_t first) {
  return static_cast<int>(tokens - first < kTile ? tokens - first : kTile);
}

// ---- Gather. `Unit` is the widest word that rows are a multiple of. Inside a sentence the window of a token
// is one contiguous piece of `values`, so a unit needs no division to find its source.

template <typename Unit>
__global__ void __launch_bounds__(kThreads) gather_values(Gather op, std::int64_t row_units, int lanes) {
  __shared__ TokenRange ranges[kTile];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int count = tile_count(op.sentences.tokens, first);
  load_sentences(op.sentences, first, count, ranges);
  const auto* values = static_cast<const Unit*>(op.rows);
  const auto* padding = static_cast<const Unit*>(op.padding);
  const std::int64_t units = op.window * row_units;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  for (int i = static_cast<int>(threadIdx.x) / lanes; i < count; i += kThreads / lanes) {
    const std::int64_t t = first + i;
    const std::int64_t low = ranges[i].begin * row_units;
    const std::int64_t high = ranges[i].end * row_units;
    const std::int64_t start = (t - op.window / 2) * row_units;
    Unit* out = static_cast<Unit*>(op.out) + t * units;
#pragma unroll 4
    for (std::int64_t v = lane; v < units; v += lanes) {
      const std::int64_t from = start + v;
      Unit unit{};
      if (from >= low && from < high) {
        unit = values[from];
      } else if (padding != nullptr) {
        unit = padding[v % row_units];
      }
      out[v] = unit;
    }
  }
}

__device__ std::int64_t load_id(const Gather& op, std::int64_t m) {
  const std::int64_t id = op.ids_are_int64 ? static_cast<const std::int64_t*>(op.ids)[m]
                                           : static_cast<const std::int32_t*>(op.ids)[m];
  return id < 0 ? 0 : (id >= op.limit ? op.limit - 1 : id);
}

template <typename Unit>
__global__ void __launch_bounds__(kThreads) gather_rows(Gather op, std::int64_t row_units, int lanes) {
  __shared__ TokenRange ranges[kTile];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int count = tile_count(op.sentences.tokens, first);
  load_sentences(op.sentences, first, count, ranges);
  const auto* table = static_cast<const Unit*>(op.rows);
  const auto* padding = static_cast<const Unit*>(op.padding);
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int pieces = count * op.window;
  for (int piece = static_cast<int>(threadIdx.x) / lanes; piece < pieces; piece += kThreads / lanes) {
    const int i = piece / op.window;
    const std::int64_t m = first + i - op.window / 2 + piece % op.window;
    const bool inside = m >= ranges[i].begin && m < ranges[i].end;
    const Unit* from = inside ? table + load_id(op, m) * row_units : padding;
    Unit* out = static_cast<Unit*>(op.out) + (first * op.window + piece) * row_units;
#pragma unroll 4
    for (std::int64_t v = lane; v < row_units; v += lanes) out[v] = from[v];
  }
}

template <typename Unit>
void launch_gather(const Gather& op, cudaStream_t stream) {
  const std::int64_t row_units = op.row_bytes / static_cast<std::int64_t>(sizeof(Unit));
  const auto blocks = static_cast<unsigned>((op.sentences.tokens + kTile - 1) / kTile);
  const std::int64_t span = op.ids == nullptr ? op.window * row_units : row_units;
  const int lanes = span >= 24 ? 32 : (span >= 12 ? 16 : 8);
  if (op.ids == nullptr) {
    gather_values<Unit><<<blocks, kThreads, 0, stream>>>(op, row_units, lanes);
  } else {
    gather_rows<Unit><<<blocks, kThreads, 0, stream>>>(op, row_units, lanes);
  }
}

bool divides(const Gather& op, std::int64_t bytes) {
  const auto good = [&](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
  };
  return op.row_bytes % bytes == 0 && good(op.rows) && good(op.out) &&
         (op.padding == nullptr || good(op.padding));
}

// ---- Gradients

template <typename T>
using Sum = typename ScalarTraits<T>::Accumulator;

template <typename T>
__global__ void __launch_bounds__(kThreads) grad_values_kernel(GradValues op) {
  __shared__ TokenRange ranges[kTile];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int count = tile_count(op.sentences.tokens, first);
  load_sentences(op.sentences, first, count, ranges);
  const auto* grad = static_cast<const T*>(op.grad);
  auto* out = static_cast<T*>(op.out);
  const std::int64_t stride = reach_stride(op.window, op.width);
  for (int i = static_cast<int>(threadIdx.x) / 32; i < count; i += kThreads / 32) {
    const std::int64_t m = first + i;
    const Reach js = reach(ranges[i], m, op.window);
    const std::int64_t start = reach_start(m, op.window, op.width);
    for (std::int64_t d = threadIdx.x % 32; d < op.width; d += 32) {
      out[m * op.width + d] = ScalarTraits<T>::store(sum_reach(grad, js, start, stride, d));
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) grad_padding_kernel(GradPadding op) {
  __shared__ Outside padded[kTokensPerBlock];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kTokensPerBlock;
  const int count = static_cast<int>(
      op.sentences.tokens - first < kTokensPerBlock ? op.sentences.tokens - first : kTokensPerBlock);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    padded[i] = outside(find_sentence(op.sentences, first + i), first + i, op.window);
  }
  __syncthreads();
  const auto* grad = static_cast<const T*>(op.grad);
  auto* sums = static_cast<Sum<T>*>(op.workspace) + blockIdx.x * op.width;
  for (std::int64_t d = threadIdx.x; d < op.width; d += kThreads) {
    Sum<T> sum = 0;
    for (int i = 0; i < count; ++i) {
      const T* row = grad + (first + i) * op.window * op.width + d;
      for (int j = 0; j < padded[i].before; ++j) sum += load_scalar(row[j * op.width]);
      for (int j = op.window - padded[i].after; j < op.window; ++j) sum += load_scalar(row[j * op.width]);
    }
    sums[d] = sum;
  }
}

template <typename T>
__global__ void combine_padding_kernel(GradPadding op, bool as_accumulators) {
  const std::int64_t d = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (d >= op.width) return;
  const auto* blocks = static_cast<const Sum<T>*>(op.workspace);
  const std::int64_t count = block_count(op.sentences.tokens);
  Sum<T> sum = 0;
  for (std::int64_t block = 0; block < count; ++block) sum += blocks[block * op.width + d];
  if (as_accumulators) {
    static_cast<Sum<T>*>(op.out)[d] = sum;
  } else {
    static_cast<T*>(op.out)[d] = ScalarTraits<T>::store(sum);
  }
}

template <typename T>
__device__ void write_weight(const GradWeight& op, std::int64_t id, std::int64_t d, Sum<T> sum) {
  const auto* padding_sum = static_cast<const Sum<T>*>(op.padding_sum);
  if (padding_sum != nullptr && id == op.padding_id) sum += padding_sum[d];
  static_cast<T*>(op.out)[id * op.width + d] = ScalarTraits<T>::store(sum);
}

// One block of keys; threads over D. parts[0]: the run that comes in; parts[1]: the run that starts here and
// goes on.
template <typename T>
__global__ void __launch_bounds__(kThreads) grad_weight_kernel(GradWeight op) {
  __shared__ std::uint32_t ids[kKeysPerBlock];
  __shared__ std::uint32_t tokens[kKeysPerBlock];
  __shared__ Reach reaches[kKeysPerBlock];
  const std::int64_t total = op.sentences.tokens;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kKeysPerBlock;
  const int count = static_cast<int>(total - first < kKeysPerBlock ? total - first : kKeysPerBlock);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const std::uint64_t key = op.keys[first + i];
    const auto m = static_cast<std::int64_t>(key & 0xFFFFFFFFU);
    ids[i] = static_cast<std::uint32_t>(key >> 32);
    tokens[i] = static_cast<std::uint32_t>(m);
    reaches[i] = reach(find_sentence(op.sentences, m), m, op.window);
  }
  __syncthreads();
  const bool comes_in = first > 0 && key_id(op.keys[first - 1]) == ids[0];
  const bool goes_on = first + count < total && key_id(op.keys[first + count]) == ids[count - 1];
  const auto* grad = static_cast<const T*>(op.grad);
  auto* parts = static_cast<Sum<T>*>(op.workspace) + blockIdx.x * 3 * op.width;
  const std::int64_t stride = reach_stride(op.window, op.width);
  for (std::int64_t d = threadIdx.x; d < op.width; d += kThreads) {
    int i = 0;
    while (i < count) {
      const int run_start = i;
      const std::uint32_t id = ids[i];
      Sum<T> sum = 0;
      for (; i < count && ids[i] == id; ++i) {
        const Sum<T> one =
            sum_reach(grad, reaches[i], reach_start(tokens[i], op.window, op.width), stride, d);
        sum = i == run_start ? one : sum + one;
      }
      if (run_start == 0 && comes_in) {
        parts[d] = sum;
      } else if (i == count && goes_on) {
        parts[op.width + d] = sum;
      } else {
        write_weight<T>(op, id, d, sum);
      }
    }
  }
}

// A block whose last run goes on, and did not come in, adds up the parts of that run.
template <typename T>
__global__ void __launch_bounds__(kThreads) combine_weight_kernel(GradWeight op) {
  const std::int64_t total = op.sentences.tokens;
  const std::int64_t blocks = key_block_count(total);
  const auto* parts = static_cast<const Sum<T>*>(op.workspace);
  std::int64_t block = blockIdx.x;
  if (block + 1 >= blocks) return;
  const std::int64_t first = block * kKeysPerBlock;
  const std::int64_t id = key_id(op.keys[first + kKeysPerBlock - 1]);
  if (key_id(op.keys[first + kKeysPerBlock]) != id) return;
  if (first > 0 && key_id(op.keys[first - 1]) == id && key_id(op.keys[first]) == id) return;
  for (std::int64_t d = threadIdx.x; d < op.width; d += kThreads) {
    Sum<T> sum = parts[(block * 3 + 1) * op.width + d];
    std::int64_t next = block + 1;
    for (;; ++next) {
      sum += parts[next * 3 * op.width + d];
      const std::int64_t end = (next + 1) * kKeysPerBlock;
      if (end >= total || key_id(op.keys[end - 1]) != id || key_id(op.keys[end]) != id) break;
    }
    write_weight<T>(op, id, d, sum);
  }
}

// The padding row, where no token has its id.
template <typename T>
__global__ void padding_row_kernel(GradWeight op) {
  const std::int64_t d = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (d >= op.width) return;
  std::int64_t low = 0;
  std::int64_t high = op.sentences.tokens;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (key_id(op.keys[middle]) < op.padding_id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low < op.sentences.tokens && key_id(op.keys[low]) == op.padding_id) return;
  static_cast<T*>(op.out)[op.padding_id * op.width + d] =
      ScalarTraits<T>::store(static_cast<const Sum<T>*>(op.padding_sum)[d]);
}

unsigned blocks_over(std::int64_t n) { return static_cast<unsigned>((n + kThreads - 1) / kThreads); }

template <typename T>
void launch_grad_values(const GradValues& op, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((op.sentences.tokens + kTile - 1) / kTile);
  grad_values_kernel<T><<<blocks, kThreads, 0, stream>>>(op);
}

template <typename T>
void launch_grad_padding(const GradPadding& op, bool as_accumulators, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(block_count(op.sentences.tokens));
  if (blocks > 0) grad_padding_kernel<T><<<blocks, kThreads, 0, stream>>>(op);
  combine_padding_kernel<T><<<blocks_over(op.width), kThreads, 0, stream>>>(op, as_accumulators);
}

template <typename T>
void launch_grad_weight(const GradWeight& op, cudaStream_t stream) {
  cudaMemsetAsync(op.out, 0, static_cast<std::size_t>(op.limit * op.width) * sizeof(T), stream);
  const auto blocks = static_cast<unsigned>(key_block_count(op.sentences.tokens));
  if (blocks == 0) return;
  grad_weight_kernel<T><<<blocks, kThreads, 0, stream>>>(op);
  combine_weight_kernel<T><<<blocks, kThreads, 0, stream>>>(op);
  if (op.padding_sum != nullptr) padding_row_kernel<T><<<blocks_over(op.width), kThreads, 0, stream>>>(op);
}

// Calls launch with a value of the element's type.
template <typename Launch>
int by_scalar(Scalar scalar, Launch launch) {
  switch (scalar) {
    case Scalar::kFloat16:
      launch(Float16{});
      break;
    case Scalar::kBFloat16:
      launch(BFloat16{});
      break;
    case Scalar::kFloat32:
      launch(0.0f);
      break;
    case Scalar::kFloat64:
      launch(0.0);
      break;
  }
  return cudaGetLastError();
}

}  // namespace

int gather(const Gather& op, void* stream) {
  const auto queue = static_cast<cudaStream_t>(stream);
  if (divides(op, 16)) {
    launch_gather<uint4>(op, queue);
  } else if (divides(op, 8)) {
    launch_gather<uint2>(op, queue);
  } else if (divides(op, 4)) {
    launch_gather<std::uint32_t>(op, queue);
  } else {
    launch_gather<std::uint16_t>(op, queue);
  }
  return cudaGetLastError();
}

int grad_values(const GradValues& op, void* stream) {
  return by_scalar(op.scalar,
                   [&]<typename T>(T) { launch_grad_values<T>(op, static_cast<cudaStream_t>(stream)); });
}

int grad_padding(const GradPadding& op, bool as_accumulators, void* stream) {
  return by_scalar(op.scalar, [&]<typename T>(T) {
    launch_grad_padding<T>(op, as_accumulators, static_cast<cudaStream_t>(stream));
  });
}

int grad_weight(const GradWeight& op, void* stream) {
  return by_scalar(op.scalar,
                   [&]<typename T>(T) { launch_grad_weight<T>(op, static_cast<cudaStream_t>(stream)); });
}

}  // namespace bioner::window::cuda
