// Viterbi on the CPU: work split by tokens, then sentences of about one length decoded together.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/runtime/levels.h"
#include "base/runtime/thread_pool.h"
#include "ops/viterbi/core.h"
#include "ops/viterbi/kernels.h"
#include "ops/viterbi/viterbi.h"

namespace bioner::viterbi {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kGrain = 512;    // tokens that make a second thread worth waking
constexpr std::int64_t kWindow = 1024;  // sentences sorted by length at a time

// Null for the scalar level.
template <typename T>
const Kernels<T>* kernels_of(simd::Level level) {
  switch (level) {
    BIONER_LEVELS(BIONER_TYPED_LEVEL_CASE)
    default:
      return nullptr;
  }
}

std::size_t align(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

int stride_of(int tags) { return (tags + 7) / 8 * 8; }

int fixed_stride_of(int tags) { return (tags + 15) / 16 * 16; }

// transitions, transposed, start, end, zeros, lanes
std::size_t table_doubles(int tags) {
  const std::size_t stride = static_cast<std::size_t>(stride_of(tags));
  const std::size_t k = static_cast<std::size_t>(tags);
  return 2 * k * stride + 3 * stride + (tags <= kLaneTags ? k * k * kMostLanes : 0);
}

// FixedTables: transitions, transposed with end, start
std::size_t fixed_table_bytes(int tags) {
  const std::size_t stride = static_cast<std::size_t>(fixed_stride_of(tags));
  const std::size_t k = static_cast<std::size_t>(tags);
  return align(sizeof(std::int32_t) *
               (tags <= kFixedLaneTags ? k * kFixedRow + stride : (2 * k + 2) * stride));
}

// The greatest need of any level: the plan does not depend on the level.
std::size_t scratch_bytes(std::int64_t longest, int tags) {
  const std::size_t length = static_cast<std::size_t>(longest);
  const std::size_t k = static_cast<std::size_t>(tags);
  const std::size_t scalar = 2 * k * sizeof(double) + length * k;
  const std::size_t vector =
      tags <= kLaneTags ? length * kMostLanes * sizeof(std::uint64_t)
                        : kSideBySide * length * static_cast<std::size_t>(stride_of(tags)) * sizeof(double);
  const std::size_t tokens = static_cast<std::size_t>(std::min(longest, kFixedTokens) + kFixedSlack);
  const std::size_t fixed =
      tokens * sizeof(std::int32_t) *
      (tags <= kFixedLaneTags ? (2 * k + 1) * kMostSentences
                              : kSideBySide * static_cast<std::size_t>(fixed_stride_of(tags) + 1));
  return align(std::max({scalar, vector, fixed}));
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

// The tables again, as fixed.h wants them.
FixedTables make_fixed_tables(const Tables& tables, std::int32_t* out) {
  const int k = tables.tags;
  const int stride = fixed_stride_of(k);
  const bool by_lane = k <= kFixedLaneTags;
  const int row = by_lane ? kFixedRow : stride;
  std::int32_t* const transitions = out;
  std::int32_t* const transposed = transitions + k * row;
  std::int32_t* const start = transposed + (by_lane ? 0 : (k + 1) * stride);
  std::fill(transitions, start + stride, kPadding);
  bool provable = true;
  auto fixed = [&](double value) {
    provable &= !(value > kGreatest);
    if (!(value > -kGreatest)) return -kGreatestFixed;  // also NaN
    return static_cast<std::int32_t>(std::lrint(std::min<double>(value, kGreatest) * kUnits));
  };
  for (int i = 0; i < k; ++i) {
    start[i] = fixed(tables.start[i]);
    (by_lane ? transitions[i * row + k] : transposed[k * stride + i]) = fixed(tables.end[i]);
    for (int j = 0; j < k; ++j) {
      transitions[i * row + j] = fixed(tables.transitions[i * tables.stride + j]);
      if (!by_lane) transposed[j * stride + i] = transitions[i * row + j];
    }
  }
  return {transitions, by_lane ? nullptr : transposed, start, provable ? k : 0, stride};
}

template <typename T>
struct Work {
  const Params<T>& params;
  const Tables& tables;
  const FixedTables& fixed_tables;  // without tags: everything in float64
  const Kernels<T>* kernels;
  void* scratch;

  std::int64_t length(std::int64_t b) const { return params.offsets[b + 1] - params.offsets[b]; }
};

// Longest first.
template <typename T>
void sort_by_length(const Work<T>& work, std::int64_t* order, std::int64_t count) {
  std::sort(order, order + count, [&](std::int64_t a, std::int64_t b) {
    return work.length(a) != work.length(b) ? work.length(a) > work.length(b) : a < b;
  });
}

// The sentences of [begin, end) that are not empty, longest first. Counts lengths, which are small.
template <typename T>
std::int64_t order_by_length(const Work<T>& work, std::int64_t begin, std::int64_t end, std::int64_t* order) {
  constexpr std::int64_t kLong = 256;
  std::int64_t places[kLong + 1] = {};  // by length, falling; the first is for all long ones
  auto place = [&](std::int64_t b) { return kLong - std::min(work.length(b), kLong); };
  for (std::int64_t b = begin; b < end; ++b) ++places[place(b)];
  const std::int64_t count = end - begin - places[kLong];
  const std::int64_t longs = places[0];
  std::int64_t next = 0;
  for (std::int64_t& slot : places) next += std::exchange(slot, next);
  for (std::int64_t b = begin; b < end; ++b) {
    if (work.length(b) > 0) order[places[place(b)]++] = b;
  }
  sort_by_length(work, order, longs);
  return count;
}

template <typename T>
Group<T> make_group(const Work<T>& work, const std::int64_t* order, std::int64_t count,
                    std::int64_t next_count = 0) {
  const Params<T>& p = work.params;
  Group<T> group;
  group.count = static_cast<int>(count);
  group.emissions_end = p.emissions + p.tokens * p.tags;
  for (int s = 0; s < kMostSentences; ++s) {
    const std::int64_t b = order[s < group.count ? s : 0];
    group.emissions[s] = p.emissions + p.offsets[b] * p.tags;
    group.next_emissions[s] = p.emissions + p.offsets[s < next_count ? order[count + s] : b] * p.tags;
    group.lengths[s] = work.length(b);
    group.out_tags[s] = p.out_tags + p.offsets[b];
    group.out_scores[s] = p.out_scores + b;
  }
  return group;
}

template <typename T>
void decode_alone(const Work<T>& work, std::int64_t b) {
  const Params<T>& p = work.params;
  const Tables& t = work.tables;
  double* const alpha = static_cast<double*>(work.scratch);
  std::uint8_t* const back = reinterpret_cast<std::uint8_t*>(alpha + 2 * p.tags);
  decode_sentence(p.emissions + p.offsets[b] * p.tags, t.transitions, t.stride, t.start, t.end, p.tags,
                  work.length(b), t.forward_argmax, alpha, back, p.out_tags + p.offsets[b], p.out_scores + b);
}

// `order` holds the longest first.
template <typename T>
void decode_in_float64(const Work<T>& work, const std::int64_t* order, std::int64_t count) {
  const bool by_lane = work.params.tags <= kLaneTags;
  const int width = by_lane ? work.kernels->lanes : kSideBySide;
  const auto decode = by_lane ? work.kernels->by_lane : work.kernels->by_tag;
  for (std::int64_t first = 0; first < count; first += width) {
    decode(work.tables, make_group(work, order + first, std::min<std::int64_t>(width, count - first)),
           work.scratch);
  }
}

// The same in fixed point; puts the sentences that float64 has to do in front of `order` and returns their
// number.
template <typename T>
std::int64_t decode_in_fixed(const Work<T>& work, std::int64_t* order, std::int64_t count) {
  const bool by_lane = work.params.tags <= kFixedLaneTags;
  const int width = by_lane ? work.kernels->fixed_lanes : kSideBySide;
  // Lanes without a sentence cost as much as others; small tag sets use lanes in float64, too.
  const int fewest = by_lane && work.params.tags > kLaneTags ? width / 4 : 1;
  std::int64_t left = 0;
  while (left < count && work.length(order[left]) > kFixedTokens) ++left;
  // So do sentences for which one lane would be left at work for half of the time. Fewer tags have no layout
  // for a sentence alone.
  while (by_lane && work.params.tags > kLaneTags && left + 1 < count &&
         work.length(order[left]) > 2 * work.length(order[left + 1])) {
    ++left;
  }
  for (std::int64_t first = left; first < count; first += width) {
    const std::int64_t sentences = std::min<std::int64_t>(width, count - first);
    unsigned unproved = (1U << sentences) - 1U;
    if (sentences >= fewest) {
      unproved = work.kernels->fixed(work.fixed_tables, work.tables,
                                     make_group(work, order + first, sentences,
                                                std::min<std::int64_t>(width, count - first - sentences)),
                                     work.scratch);
    }
    for (std::int64_t s = 0; unproved != 0 && s < sentences; ++s) {
      order[left] = order[first + s];
      left += unproved >> s & 1U;
    }
  }
  return left;
}

template <typename T>
void decode_piece(const Work<T>& work, const Piece& piece) {
  const Params<T>& p = work.params;
  for (std::int64_t b = piece.first; b < piece.last; ++b) p.out_scores[b] = 0;
  if (work.kernels == nullptr) {
    for (std::int64_t b = piece.first; b < piece.last; ++b) {
      if (work.length(b) > 0) decode_alone(work, b);
    }
    return;
  }
  std::int64_t order[2 * kWindow];
  std::int64_t waiting = 0;  // for float64, at the front: collected, so that they fill its vectors
  for (std::int64_t begin = piece.first; begin < piece.last; begin += kWindow) {
    const std::int64_t stop = std::min(begin + kWindow, piece.last);
    const std::int64_t count = order_by_length(work, begin, stop, order + waiting);
    if (work.fixed_tables.tags == 0) {
      decode_in_float64(work, order, count);
      continue;
    }
    waiting += decode_in_fixed(work, order + waiting, count);
    if (waiting >= kWindow || stop == piece.last) {
      sort_by_length(work, order, waiting);
      decode_in_float64(work, order, waiting);
      waiting = 0;
    }
  }
}

}  // namespace

template <typename T>
CpuPlan plan_cpu(const Params<T>& params, int threads) {
  CpuPlan plan;
  const std::int64_t most = std::max<std::int64_t>(1, params.tokens * params.tags / 8 / kGrain);
  plan.pieces = split_by_tokens(params.offsets, params.sentences, std::min<std::int64_t>(threads, most));
  std::size_t bytes = align(table_doubles(params.tags) * sizeof(double)) + fixed_table_bytes(params.tags);
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
  FixedTables fixed_tables = {};
  if (kernels != nullptr && kernels->fixed != nullptr && !tables.forward_argmax && params.tags > 1) {
    char* const memory = static_cast<char*>(workspace) + align(table_doubles(params.tags) * sizeof(double));
    fixed_tables = make_fixed_tables(tables, reinterpret_cast<std::int32_t*>(memory));
  }
  parallel_for(static_cast<std::int64_t>(plan.pieces.size()), 1, threads,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::size_t piece = static_cast<std::size_t>(i);
                   void* const scratch = static_cast<char*>(workspace) + plan.workspace_offsets[piece];
                   decode_piece(Work<T>{params, tables, fixed_tables, kernels, scratch}, plan.pieces[piece]);
                 }
               });
}

template CpuPlan plan_cpu<float>(const Params<float>&, int);
template CpuPlan plan_cpu<double>(const Params<double>&, int);
template void decode_cpu<float>(const Params<float>&, const CpuPlan&, void*, int);
template void decode_cpu<double>(const Params<double>&, const CpuPlan&, void*, int);

}  // namespace bioner::viterbi
