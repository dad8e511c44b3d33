// Viterbi on the CPU: work split by tokens, then sentences of about one length decoded together.
#include <algorithm>
#include <limits>

#include "runtime/simd.h"
#include "runtime/thread_pool.h"
#include "viterbi/core.h"
#include "viterbi/kernels.h"
#include "viterbi/viterbi.h"

namespace bioner::viterbi {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kGrain = 512;   // tokens that make a second thread worth waking
constexpr std::int64_t kWindow = 256;  // sentences sorted by length at a time: they stay in the cache

// Null for the scalar level.
template <typename T>
const Kernels<T>* kernels_of(simd::Level level) {
  constexpr bool kSingle = sizeof(T) == sizeof(float);
  auto pick = [](const Kernels<float>& f32, const Kernels<double>& f64) {
    if constexpr (kSingle) {
      return static_cast<void>(f64), &f32;
    } else {
      return static_cast<void>(f32), &f64;
    }
  };
  switch (level) {
#if defined(BIONER_X86_LEVELS)
    case simd::Level::kAvx2:
      return pick(avx2::f32, avx2::f64);
    case simd::Level::kAvx512:
      return pick(avx512::f32, avx512::f64);
#if defined(BIONER_TEST_LEVELS)
    case simd::Level::kWide:
      return pick(wide::f32, wide::f64);
#endif
#elif defined(BIONER_ARM_LEVELS)
    case simd::Level::kNeon:
      return pick(neon::f32, neon::f64);
#endif
    default:
      static_cast<void>(pick);
      return nullptr;
  }
}

std::size_t align(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

int stride_of(int tags) { return (tags + 7) / 8 * 8; }

// transitions, transposed, start, end, zeros, lanes
std::size_t table_doubles(int tags) {
  const std::size_t stride = static_cast<std::size_t>(stride_of(tags));
  const std::size_t k = static_cast<std::size_t>(tags);
  return 2 * k * stride + 3 * stride + (tags <= kLaneTags ? k * k * kMostLanes : 0);
}

// The greatest need of any level: the plan does not depend on the level.
std::size_t scratch_bytes(std::int64_t longest, int tags) {
  const std::size_t length = static_cast<std::size_t>(longest);
  const std::size_t k = static_cast<std::size_t>(tags);
  const std::size_t scalar = 2 * k * sizeof(double) + length * k;
  const std::size_t vector =
      tags <= kLaneTags ? length * kMostLanes * sizeof(std::uint64_t)
                        : kSideBySide * length * static_cast<std::size_t>(stride_of(tags)) * sizeof(double);
  return align(std::max(scalar, vector));
}

template <typename T>
Tables make_tables(const Params<T>& p, int lanes, double* out) {
  const int k = p.tags;
  const int stride = stride_of(k);
  double* const transitions = out;
  double* const transposed = transitions + k * stride;
  double* const start = transposed + k * stride;
  double* const end = start + stride;
  double* const zeros = end + stride;
  double* const repeated = zeros + stride;
  std::fill(out, repeated, kNone);
  for (int i = 0; i < k; ++i) {
    start[i] = p.start ? static_cast<double>(p.start[i]) : 0.0;
    end[i] = p.end ? static_cast<double>(p.end[i]) : 0.0;
    zeros[i] = 0.0;
    for (int j = 0; j < k; ++j) {
      const double value = static_cast<double>(p.transitions[i * k + j]);
      transitions[i * stride + j] = value;
      transposed[j * stride + i] = value;
      if (k <= kLaneTags) std::fill_n(repeated + (i * k + j) * lanes, lanes, value);
    }
  }
  return {
      transitions, transposed, start, end, zeros, repeated, k, stride, p.readout == Readout::kForwardArgmax};
}

template <typename T>
void decode_piece(const Params<T>& p, const Tables& tables, const Kernels<T>* kernels, const Piece& piece,
                  void* scratch) {
  auto length = [&](std::int64_t b) { return p.offsets[b + 1] - p.offsets[b]; };
  if (kernels == nullptr) {
    double* const alpha = static_cast<double*>(scratch);
    std::uint8_t* const back = reinterpret_cast<std::uint8_t*>(alpha + 2 * p.tags);
    for (std::int64_t b = piece.first; b < piece.last; ++b) {
      p.out_scores[b] = 0;
      if (length(b) == 0) continue;
      decode_sentence(p.emissions + p.offsets[b] * p.tags, tables.transitions, tables.stride, tables.start,
                      tables.end, p.tags, length(b), tables.forward_argmax, alpha, back,
                      p.out_tags + p.offsets[b], p.out_scores + b);
    }
    return;
  }
  const bool by_lane = p.tags <= kLaneTags;
  const int width = by_lane ? kernels->lanes : kSideBySide;
  const auto decode = by_lane ? kernels->by_lane : kernels->by_tag;
  std::int64_t order[kWindow];
  for (std::int64_t begin = piece.first; begin < piece.last; begin += kWindow) {
    const std::int64_t stop = std::min(begin + kWindow, piece.last);
    std::int64_t count = 0;
    for (std::int64_t b = begin; b < stop; ++b) {
      p.out_scores[b] = 0;
      if (length(b) > 0) order[count++] = b;
    }
    std::sort(order, order + count, [&](std::int64_t a, std::int64_t b) {
      return length(a) != length(b) ? length(a) > length(b) : a < b;
    });
    for (std::int64_t first = 0; first < count; first += width) {
      Group<T> group;
      group.count = static_cast<int>(std::min<std::int64_t>(width, count - first));
      for (int s = 0; s < kMostLanes; ++s) {
        const std::int64_t b = order[first + (s < group.count ? s : 0)];
        group.emissions[s] = p.emissions + p.offsets[b] * p.tags;
        group.lengths[s] = length(b);
        group.out_tags[s] = p.out_tags + p.offsets[b];
        group.out_scores[s] = p.out_scores + b;
      }
      decode(tables, group, scratch);
    }
  }
}

}  // namespace

template <typename T>
CpuPlan plan_cpu(const Params<T>& params, int threads) {
  CpuPlan plan;
  const std::int64_t most = std::max<std::int64_t>(1, params.tokens * params.tags / 8 / kGrain);
  plan.pieces = split_by_tokens(params.offsets, params.sentences, std::min<std::int64_t>(threads, most));
  std::size_t bytes = align(table_doubles(params.tags) * sizeof(double));
  for (const Piece& piece : plan.pieces) {
    plan.workspace_offsets.push_back(bytes);
    bytes += scratch_bytes(longest_sentence(params.offsets, piece), params.tags);
  }
  plan.workspace_bytes = bytes;
  return plan;
}

template <typename T>
void decode_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads) {
  const Kernels<T>* const kernels = kernels_of<T>(simd::active());
  const Tables tables = make_tables(params, kernels ? kernels->lanes : 1, static_cast<double*>(workspace));
  parallel_for(static_cast<std::int64_t>(plan.pieces.size()), 1, threads,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::size_t piece = static_cast<std::size_t>(i);
                   decode_piece(params, tables, kernels, plan.pieces[piece],
                                static_cast<char*>(workspace) + plan.workspace_offsets[piece]);
                 }
               });
}

template CpuPlan plan_cpu<float>(const Params<float>&, int);
template CpuPlan plan_cpu<double>(const Params<double>&, int);
template void decode_cpu<float>(const Params<float>&, const CpuPlan&, void*, int);
template void decode_cpu<double>(const Params<double>&, const CpuPlan&, void*, int);

}  // namespace bioner::viterbi
