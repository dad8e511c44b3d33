// CRF on CUDA: a block is a sentence, a thread is a tag. As on the CPU (isa-inl.h), forward-backward runs on
// probabilities that are scaled at every token, with exp(transitions) taken once; a sentence in which
// something may have underflowed is done in the log domain, less a shift at every token. So no error grows
// with the length of a sentence: rows of posteriors are divided by their own sum.
//
// What all threads need of a row (its sums and maxima), each computes for itself in the loop over tags that
// it runs anyway: one barrier a token is enough, and every decision is the same in all threads.
//
// Sums over the batch go through one partial sum per block, added in a fixed order by a second kernel: no
// atomics, so gradients are deterministic. Offsets and tags are clamped: bad contents give wrong answers,
// never an access out of bounds.
#include <cuda_runtime.h>

#include "base/core/packed.h"
#include "base/runtime/cuda_launch.h"
#include "ops/crf/core.h"
#include "ops/crf/crf.h"

namespace bioner::crf {
namespace {

constexpr int kWarp = 32;
constexpr std::size_t kPartialBytes = std::size_t{64} << 20;
constexpr std::int64_t kMostPartials = 4096;
constexpr int kReduceEntries = 32;  // of a block of reduce_kernel
constexpr int kReduceParts = 8;     // threads that share the sum of one

// Where a positive number is smaller than this, a sentence is done in the log domain: what underflows beside
// numbers that are not is then beyond double precision.
constexpr double kDoubtful = 1e-50;
constexpr double kLogDoubtful = -115.12925464970229;
constexpr double kLeastTotal = 1e-60;
constexpr double kNone = -HUGE_VAL;

int width_of(int tags) { return (tags + kWarp - 1) / kWarp * kWarp; }

// Blocks that keep partial sums. Depends on the input alone, so that the order of the sums does.
std::int64_t partial_blocks(std::int64_t sentences, int tags) {
  std::int64_t most = static_cast<std::int64_t>(kPartialBytes / (sizeof(double) * tags * tags));
  if (most > kMostPartials) most = kMostPartials;
  return sentences < most ? sentences : most;
}

std::size_t partial_doubles(int tags) {
  return static_cast<std::size_t>(tags) * tags + 2 * static_cast<std::size_t>(tags);
}

template <typename T>
__device__ inline double at(const T* values, int index) {
  return values ? static_cast<double>(values[index]) : 0.0;
}

template <typename T>
__device__ inline int gold_at(const Params<T>& p, std::int64_t token) {
  const std::int64_t tag = p.gold[token];
  return static_cast<int>(tag < 0 ? 0 : (tag < p.tags ? tag : p.tags - 1));
}

__device__ inline double greater(double one, double other) { return other > one ? other : one; }
__device__ inline double finite_or_zero(double top) { return top > kNone ? top : 0.0; }

struct alignas(16) Cell {
  double first;
  double second;
};

// What a launch puts into shared memory: cells [3, width], parts [width], end [width]; then, where there is
// room, weights [tags, stride] and, for gradients, sums [tags * tags + 2 * tags].
struct Layout {
  int stride;  // of the weights: odd, so that rows and columns are read without bank conflicts
  bool weights;
  bool sums;
};

__host__ __device__ inline std::size_t base_doubles(int width) { return 8 * static_cast<std::size_t>(width); }

// The parameters less their greatest value, which cancels between the score of the gold path and log Z, as a
// thread sees them.
template <typename T>
struct Chain {
  const Params<T>& p;
  Cell* cells;
  double* parts;
  const double* end_weights;  // exp(log_end(j))
  const double* weights;      // or null: exp is taken again and again
  int width;
  int stride;
  int j;          // the tag of this thread; idle threads repeat the last one
  bool mine;      // whether this thread is not idle
  bool delicate;  // some weight of this thread's is positive, but below kDoubtful
  double top_transition, top_start, top_end;

  __device__ double log_weight(int from, int to) const {
    return static_cast<double>(p.transitions[from * p.tags + to]) - top_transition;
  }
  __device__ double weight(int from, int to) const {
    return weights ? weights[from * stride + to] : exp(log_weight(from, to));
  }
  __device__ double log_start() const { return at(p.start, j) - top_start; }
  __device__ double log_end(int tag) const { return at(p.end, tag) - top_end; }
};

// Every thread calls it. `memory` is the shared memory of the block.
template <typename T>
__device__ Chain<T> make_chain(const Params<T>& p, const Layout& layout, double* memory) {
  const int width = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  double* const end = memory + 7 * width;
  double* const weights = layout.weights ? memory + base_doubles(width) : nullptr;
  Chain<T> c{p,
             reinterpret_cast<Cell*>(memory),
             memory + 6 * width,
             end,
             weights,
             width,
             layout.stride,
             thread < p.tags ? thread : p.tags - 1,
             thread < p.tags,
             false,
             kNone,
             kNone,
             kNone};
  double top = kNone;
  for (int i = 0; i < p.tags; ++i) top = greater(top, static_cast<double>(p.transitions[i * p.tags + c.j]));
  c.parts[thread] = top;
  __syncthreads();
  for (int i = 0; i < p.tags; ++i) {
    c.top_transition = greater(c.top_transition, c.parts[i]);
    c.top_start = greater(c.top_start, at(p.start, i));
    c.top_end = greater(c.top_end, at(p.end, i));
  }
  c.top_transition = finite_or_zero(c.top_transition);
  c.top_start = finite_or_zero(c.top_start);
  c.top_end = finite_or_zero(c.top_end);
  const auto doubt = [&](double value) { c.delicate |= value > kNone && value < kLogDoubtful; };
  for (int i = 0; i < p.tags; ++i) {
    const double value = c.log_weight(i, c.j);
    doubt(value);
    if (weights && c.mine) weights[i * c.stride + c.j] = exp(value);
  }
  doubt(c.log_start());
  doubt(c.log_end(c.j));
  end[thread] = exp(c.log_end(c.j));
  __syncthreads();
  return c;
}

template <typename T>
struct Sentence {
  std::int64_t begin;
  std::int64_t length;
  const T* emissions;
  double* alpha;   // [length, tags], or null: not kept
  double* shifts;  // [length]: the greatest emission of each token
};

// Relative to the maxima and shifts.
struct Scores {
  double log_z;
  double gold;
};

// Every thread calls it and gets the same. False: not to be trusted, take the log domain. `kLogs`: alpha is a
// logarithm, less the greatest of the token before it.
template <bool kLogs, bool kGold, typename T>
__device__ bool forward(const Chain<T>& c, const Sentence<T>& s, Scores* scores) {
  const Params<T>& p = c.p;
  const int tags = p.tags;
  bool doubtful = c.delicate;
  bool good = true;
  double gold = 0.0;
  int gold_before = 0;
  ScaleProduct scales;
  double log_scale = 0.0;
  double emission = static_cast<double>(s.emissions[c.j]);
  if (c.mine) c.cells[c.width + c.j] = {kLogs ? kNone : 0.0, emission};
  __syncthreads();
  for (std::int64_t t = 0; t < s.length; ++t) {
    // alpha of the token before, and emissions of this one.
    const Cell* const before = c.cells + ((t + 1) & 1) * c.width;
    const double upcoming = t + 1 < s.length ? static_cast<double>(s.emissions[(t + 1) * tags + c.j]) : kNone;
    double top = kNone;
    double scale = kLogs ? kNone : 0.0;
    double incoming = 0.0;
    LogSum sum;
    for (int i = 0; i < tags; ++i) {
      const Cell cell = before[i];
      top = greater(top, cell.second);
      if constexpr (kLogs) {
        scale = greater(scale, cell.first);
        sum.bound(cell.first + c.log_weight(i, c.j));
      } else {
        scale += cell.first;
        incoming += cell.first * c.weight(i, c.j);
      }
    }
    top = finite_or_zero(top);
    double value;
    if constexpr (kLogs) {
      for (int i = 0; i < tags; ++i) sum.add(before[i].first + c.log_weight(i, c.j));
      scale = t == 0 ? 0.0 : finite_or_zero(scale);
      log_scale += scale;
      value = (emission - top) + ((t == 0 ? c.log_start() : sum.total()) - scale);
    } else {
      if (t == 0) {
        scale = 1.0;
        incoming = exp(c.log_start());
      }
      good = scale >= kLeastTotal;  // not where it is NaN
      if (!good) break;
      scales.multiply(scale);
      const double weight = exp(emission - top);
      value = weight * incoming / scale;
      doubtful |= (emission > kNone && weight < kDoubtful) || (value > 0.0 && value < kDoubtful);
    }
    if (s.alpha) {
      if (c.mine) s.alpha[t * tags + c.j] = value;
      if (threadIdx.x == 0) s.shifts[t] = top;
    }
    if constexpr (kGold) {
      const int tag = gold_at(p, s.begin + t);
      if (c.mine && tag == c.j) {
        gold += (emission - top) + (t == 0 ? c.log_start() : c.log_weight(gold_before, tag));
        if (t + 1 == s.length) gold += c.log_end(tag);
      }
      gold_before = tag;
    }
    if (c.mine) c.cells[(t & 1) * c.width + c.j] = {value, upcoming};
    emission = upcoming;
    __syncthreads();
  }
  const Cell* const last = c.cells + ((s.length - 1) & 1) * c.width;
  if constexpr (kLogs) {
    LogSum sum;
    for (int i = 0; i < tags; ++i) sum.bound(last[i].first + c.log_end(i));
    for (int i = 0; i < tags; ++i) sum.add(last[i].first + c.log_end(i));
    scores->log_z = sum.total() + log_scale;
  } else if (good) {
    double total = 0.0;
    double sum = 0.0;
    for (int i = 0; i < tags; ++i) {
      total += last[i].first;
      sum += last[i].first * c.end_weights[i];
    }
    good = total >= kLeastTotal && sum >= kLeastTotal * total;
    scores->log_z = log(sum) + scales.logarithm();
  }
  c.parts[threadIdx.x] = gold;
  const bool trusted = __syncthreads_or(!kLogs && (doubtful || !good)) == 0;
  scores->gold = 0.0;
  if constexpr (kGold) {
    for (int i = 0; i < tags; ++i) scores->gold += c.parts[i];
  }
  return trusted;
}

// Into `sums`, where there are any: [to, from], then start, end. A thread adds to what is from its tag.
template <typename T>
struct Posteriors {
  T* out;         // [length, tags]: factor * p(tag), less factor at the gold tag where there are sums
  double factor;  //
  double* sums;   // or null
  bool pairs;     // whether [to, from] are wanted
};

// Every thread calls it, after forward() of the same kind.
template <bool kLogs, bool kGold, typename T>
__device__ void backward(const Chain<T>& c, const Sentence<T>& s, const Posteriors<T>& posteriors) {
  const Params<T>& p = c.p;
  const int tags = p.tags;
  const double factor = posteriors.factor;
  double* const sums = posteriors.sums;
  double beta = kLogs ? c.log_end(c.j) : c.end_weights[c.j];
  double scale_ahead = 0.0;  // of beta
  int gold_ahead = 0;
  double alpha = s.alpha[(s.length - 1) * tags + c.j];
  double emission = static_cast<double>(s.emissions[(s.length - 1) * tags + c.j]);
  for (std::int64_t t = s.length - 1; t >= 0; --t) {
    // {emission and beta, alpha and beta} of all tags. Three halves in turn: one is written while the others
    // are read.
    Cell* const cells = c.cells + (t % 3) * c.width;
    const double relative = emission - s.shifts[t];
    Cell cell;
    if constexpr (kLogs) {
      cell = {relative + beta, alpha + beta};
    } else {
      // A tag that no path comes to must not rule the scale of those that count.
      cell = {alpha == 0.0 ? 0.0 : exp(relative) * beta, alpha * beta};
    }
    if (c.mine) cells[c.j] = cell;
    const double alpha_here = alpha;
    if (t > 0) {
      alpha = s.alpha[(t - 1) * tags + c.j];
      emission = static_cast<double>(s.emissions[(t - 1) * tags + c.j]);
    }
    __syncthreads();
    double scale = kLogs ? kNone : 0.0;
    double total = 0.0;
    double top = kNone;
    double share;
    if constexpr (kLogs) {
      LogSum sum;
      for (int i = 0; i < tags; ++i) {
        scale = greater(scale, cells[i].first);
        top = greater(top, cells[i].second);
        sum.bound(c.log_weight(c.j, i) + cells[i].first);
      }
      scale = finite_or_zero(scale);
      top = finite_or_zero(top);
      for (int i = 0; i < tags; ++i) {
        total += share_of(cells[i].second, top);
        sum.add(c.log_weight(c.j, i) + cells[i].first);
      }
      share = cell.second == kNone ? 0.0 : exp(cell.second - top) / total;
      beta = sum.total() - scale;
    } else {
      double product = 0.0;
      for (int i = 0; i < tags; ++i) {
        scale += cells[i].first;
        total += cells[i].second;
        product += c.weight(c.j, i) * cells[i].first;
      }
      share = cell.second / total;
      beta = product / scale;
    }
    double value = factor * share;
    const int gold = kGold ? gold_at(p, s.begin + t) : 0;
    if (kGold && c.j == gold) value -= factor;
    if (c.mine) posteriors.out[t * tags + c.j] = static_cast<T>(value);
    if constexpr (kGold) {
      if (c.mine && t == 0) sums[tags * tags + c.j] += value;
      if (c.mine && t == s.length - 1) sums[tags * tags + tags + c.j] += value;
      if (c.mine && posteriors.pairs && t + 1 < s.length) {
        const Cell* const ahead = c.cells + ((t + 1) % 3) * c.width;
        if constexpr (kLogs) {
          const double rest = scale_ahead + top + log(total);
          for (int to = 0; to < tags; ++to) {
            const double pair = alpha_here + c.log_weight(c.j, to) + ahead[to].first;
            sums[to * tags + c.j] += factor * share_of(pair, rest);
          }
        } else {
          const double rest = factor * alpha_here / (scale_ahead * total);
          for (int to = 0; to < tags; ++to) {
            sums[to * tags + c.j] += rest * c.weight(c.j, to) * ahead[to].first;
          }
        }
        if (c.j == gold) sums[gold_ahead * tags + c.j] -= factor;
      }
    }
    scale_ahead = scale;
    gold_ahead = gold;
  }
  __syncthreads();
}

template <typename T>
__global__ void log_likelihood_kernel(Params<T> p, Layout layout, T* out) {
  extern __shared__ double memory[];
  const Chain<T> chain = make_chain(p, layout, memory);
  const PackedOffsets offsets{p.offsets, p.sentences, p.tokens};
  for (std::int64_t b = blockIdx.x; b < p.sentences; b += gridDim.x) {
    const TokenRange range = offsets.sentence(b);
    double value = 0.0;
    if (range.begin < range.end) {
      const Sentence<T> sentence{range.begin, range.end - range.begin, p.emissions + range.begin * p.tags,
                                 nullptr, nullptr};
      Scores scores;
      if (!forward<false, true>(chain, sentence, &scores)) forward<true, true>(chain, sentence, &scores);
      // An impossible path of an impossible sentence: -inf, not NaN.
      value = scores.gold == kNone && scores.log_z == scores.log_z ? scores.gold : scores.gold - scores.log_z;
    }
    if (threadIdx.x == 0) out[b] = static_cast<T>(value);
  }
}

// Posteriors (kGradients: times -upstream, plus upstream at the gold tag) and, into the partial sums of this
// block, the other gradients. `rows` [tokens, tags] keeps alpha, `shifts` [tokens] the shifts.
template <typename T, bool kGradients>
__global__ void posterior_kernel(Params<T> p, Layout layout, const T* upstream, T* out, bool pairs,
                                 double* rows, double* shifts, double* partials) {
  extern __shared__ double memory[];
  const Chain<T> chain = make_chain(p, layout, memory);
  const int tags = p.tags;
  const int entries = tags * tags + 2 * tags;
  const PackedOffsets offsets{p.offsets, p.sentences, p.tokens};
  double* const block_sums = kGradients ? partials + blockIdx.x * static_cast<std::size_t>(entries) : nullptr;
  double* sums = block_sums;
  if (kGradients && layout.sums) {
    sums = memory + base_doubles(chain.width) + (layout.weights ? tags * layout.stride : 0);
  }
  // Entry i belongs to thread i % tags, here and in backward(): no barriers.
  if (kGradients && chain.mine) {
    for (int i = chain.j; i < entries; i += tags) sums[i] = 0.0;
  }
  for (std::int64_t b = blockIdx.x; b < p.sentences; b += gridDim.x) {
    const TokenRange range = offsets.sentence(b);
    const std::int64_t length = range.end - range.begin;
    if (length == 0) continue;
    const Sentence<T> sentence{range.begin, length, p.emissions + range.begin * tags,
                               rows + range.begin * tags, shifts + range.begin};
    T* const target = out + range.begin * tags;
    const double factor = kGradients ? -static_cast<double>(upstream[b]) : 1.0;
    bool possible = factor != 0.0;
    bool scaled = true;
    if (possible) {
      Scores scores;
      scaled = forward<false, kGradients>(chain, sentence, &scores);
      if (!scaled) forward<true, kGradients>(chain, sentence, &scores);
      possible = !kGradients || scores.gold != kNone;
    }
    const Posteriors<T> posteriors{target, factor, sums, pairs};
    if (!possible) {
      for (std::int64_t i = threadIdx.x; i < length * tags; i += chain.width) target[i] = T(0);
    } else if (scaled) {
      backward<false, kGradients>(chain, sentence, posteriors);
    } else {
      backward<true, kGradients>(chain, sentence, posteriors);
    }
  }
  if (kGradients && layout.sums && chain.mine) {
    for (int i = chain.j; i < entries; i += tags) block_sums[i] = sums[i];
  }
}

// Adds up partial sums: kReduceParts threads take every so manieth block each, then one adds theirs.
template <typename T>
__global__ void reduce_kernel(const double* partials, std::int64_t blocks, int tags, Gradients<T> gradients) {
  __shared__ double parts[kReduceEntries * kReduceParts];
  const int part = static_cast<int>(threadIdx.x) / kReduceEntries;
  const int entry =
      static_cast<int>(blockIdx.x) * kReduceEntries + static_cast<int>(threadIdx.x) % kReduceEntries;
  const int count = tags * tags + 2 * tags;
  double sum = 0.0;
  if (entry < count) {
    for (std::int64_t b = part; b < blocks; b += kReduceParts) sum += partials[b * count + entry];
  }
  parts[threadIdx.x] = sum;
  __syncthreads();
  if (part > 0 || entry >= count) return;
  for (int other = 1; other < kReduceParts; ++other) sum += parts[other * kReduceEntries + threadIdx.x];
  if (entry < tags * tags) {
    if (gradients.transitions)
      gradients.transitions[entry % tags * tags + entry / tags] = static_cast<T>(sum);
  } else if (entry < tags * tags + tags) {
    if (gradients.start) gradients.start[entry - tags * tags] = static_cast<T>(sum);
  } else if (gradients.end) {
    gradients.end[entry - tags * tags - tags] = static_cast<T>(sum);
  }
}

// What fits into shared memory, and its bytes. `sums`: whether they are wanted there.
Layout make_layout(int tags, bool sums, std::size_t* bytes) {
  const std::size_t most = cuda::most_shared() / sizeof(double);
  std::size_t doubles = base_doubles(width_of(tags));
  Layout layout{tags | 1, false, false};
  const auto take = [&](std::size_t wanted) {
    if (doubles + wanted > most) return false;
    doubles += wanted;
    return true;
  };
  layout.weights = take(static_cast<std::size_t>(tags) * static_cast<std::size_t>(layout.stride));
  layout.sums = sums && take(partial_doubles(tags));
  *bytes = doubles * sizeof(double);
  return layout;
}

}  // namespace

std::size_t cuda_workspace_bytes(std::int64_t tokens, std::int64_t sentences, int tags, Task task) {
  if (task == Task::kLogLikelihood) return 0;
  std::size_t doubles = static_cast<std::size_t>(tokens) * (static_cast<std::size_t>(tags) + 1);
  if (task == Task::kGradients) {
    doubles += static_cast<std::size_t>(partial_blocks(sentences, tags)) * partial_doubles(tags);
  }
  return doubles * sizeof(double);
}

template <typename T>
int log_likelihood_cuda(const Params<T>& params, void* stream, T* out) {
  if (params.sentences == 0) return cudaSuccess;
  const int width = width_of(params.tags);
  std::size_t shared = 0;
  const Layout layout = make_layout(params.tags, false, &shared);
  const auto kernel = &log_likelihood_kernel<T>;
  if (const cudaError_t status = cuda::allow_shared(kernel, shared); status != cudaSuccess) return status;
  const unsigned blocks = cuda::resident_blocks(kernel, width, shared, params.sentences);
  log_likelihood_kernel<T><<<blocks, width, shared, static_cast<cudaStream_t>(stream)>>>(params, layout, out);
  return cudaGetLastError();
}

template <typename T>
int marginals_cuda(const Params<T>& params, void* workspace, void* stream, T* out) {
  if (params.sentences == 0) return cudaSuccess;
  const int width = width_of(params.tags);
  std::size_t shared = 0;
  const Layout layout = make_layout(params.tags, false, &shared);
  const auto kernel = &posterior_kernel<T, false>;
  if (const cudaError_t status = cuda::allow_shared(kernel, shared); status != cudaSuccess) return status;
  const unsigned blocks = cuda::resident_blocks(kernel, width, shared, params.sentences);
  double* const rows = static_cast<double*>(workspace);
  posterior_kernel<T, false><<<blocks, width, shared, static_cast<cudaStream_t>(stream)>>>(
      params, layout, nullptr, out, false, rows, rows + params.tokens * params.tags, nullptr);
  return cudaGetLastError();
}

template <typename T>
int gradients_cuda(const Params<T>& params, void* workspace, void* stream, const Gradients<T>& gradients) {
  cudaStream_t const on = static_cast<cudaStream_t>(stream);
  const int tags = params.tags;
  const int width = width_of(tags);
  const std::int64_t blocks = partial_blocks(params.sentences, tags);
  double* const rows = static_cast<double*>(workspace);
  double* const shifts = rows + params.tokens * tags;
  double* const partials = shifts + params.tokens;
  if (blocks > 0) {
    std::size_t shared = 0;
    const Layout layout = make_layout(tags, true, &shared);
    const auto kernel = &posterior_kernel<T, true>;
    if (const cudaError_t status = cuda::allow_shared(kernel, shared); status != cudaSuccess) return status;
    posterior_kernel<T, true><<<static_cast<unsigned>(blocks), width, shared, on>>>(
        params, layout, gradients.upstream, gradients.emissions, gradients.transitions != nullptr, rows,
        shifts, partials);
    const int status = cudaGetLastError();
    if (status != cudaSuccess) return status;
  }
  const int entries = tags * tags + 2 * tags;
  const auto reduce_blocks = static_cast<unsigned>((entries + kReduceEntries - 1) / kReduceEntries);
  reduce_kernel<T>
      <<<reduce_blocks, kReduceEntries * kReduceParts, 0, on>>>(partials, blocks, tags, gradients);
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
