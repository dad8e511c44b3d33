// CRF on the CPU: fixed blocks of sentences, so that sums over the batch do not depend on the number of
// threads.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/runtime/levels.h"
#include "base/runtime/thread_pool.h"
#include "ops/crf/core.h"
#include "ops/crf/crf.h"
#include "ops/crf/kernels.h"

namespace bioner::crf {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kBlockWork = 8192;  // token-tags that make a block worth its own sums
constexpr std::int64_t kMostBlocks = 64;

template <typename T>
const Kernels<T>* kernels_of(simd::Level level) {
  switch (level) {
    BIONER_LEVELS(BIONER_TYPED_LEVEL_CASE)
    default:
      return simd::of_type<T>(scalar::f32, scalar::f64);
  }
}

std::size_t padded(std::size_t doubles) { return (doubles + 7) / 8 * 8; }

std::size_t stride_of(int tags) { return padded(static_cast<std::size_t>(tags)); }

// Everything the sentences share, and where it lies in the workspace.
template <typename T>
struct Call {
  const Params<T>& params;
  const Kernels<T>& kernels;
  Chain chain;
  double* partials;
  double* scratch;
};

// The parameters less their greatest value, which cancels between the score of the gold path and log Z.
template <typename T>
bool relative(const T* values, std::size_t count, double* out) {
  double top = kNone;
  double least = -kNone;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = values ? static_cast<double>(values[i]) : 0.0;
    top = std::max(top, value);
    if (value > kNone) least = std::min(least, value);
  }
  if (!(top > kNone)) top = 0.0;
  for (std::size_t i = 0; i < count; ++i) out[i] = (values ? static_cast<double>(values[i]) : 0.0) - top;
  return least - top < std::log(kSmall);
}

template <typename T>
Call<T> begin_call(const Params<T>& p, const CpuPlan& plan, void* workspace) {
  const int k = p.tags;
  const std::size_t tags = static_cast<std::size_t>(k);
  const std::size_t stride = stride_of(k);
  const Kernels<T>& kernels = *kernels_of<T>(simd::active());
  double* free = static_cast<double*>(workspace);
  auto take = [&](std::size_t count) {
    double* const taken = free;
    free += padded(count);
    return taken;
  };
  double* const log_transitions = take(tags * tags);
  double* const log_start = take(tags);
  double* const log_end = take(tags);
  double* const weights = take(tags * stride);
  double* const transposed = take(tags * stride);
  double* const start = take(stride);
  double* const end = take(stride);
  bool delicate = relative(p.transitions, tags * tags, log_transitions);
  delicate |= relative(p.start, tags, log_start);
  delicate |= relative(p.end, tags, log_end);
  kernels.exponentials(log_transitions, k, k, static_cast<int>(stride), weights);
  kernels.exponentials(log_start, 1, k, static_cast<int>(stride), start);
  kernels.exponentials(log_end, 1, k, static_cast<int>(stride), end);
  std::fill_n(transposed, tags * stride, 0.0);
  for (std::size_t i = 0; i < tags; ++i) {
    for (std::size_t j = 0; j < tags; ++j) transposed[j * stride + i] = weights[i * stride + j];
  }
  const Chain chain = {
      weights, transposed, start, end, log_transitions, log_start, log_end, k, static_cast<int>(stride),
      delicate};
  double* const partials = static_cast<double*>(workspace) + plan.table_doubles;
  return {p, kernels, chain, partials, partials + plan.partial_doubles * plan.blocks.size()};
}

// Room of one slot. `spare` takes posteriors that nobody asked for.
template <typename T>
struct Slot {
  Scratch scaled;    // without beta
  Scratch complete;  // the same memory, with beta
  T* spare;          // [longest, tags]
};

template <typename T>
Slot<T> slot_of(const Call<T>& call, const CpuPlan& plan, int slot) {
  const std::size_t length = padded(static_cast<std::size_t>(plan.longest));
  const std::size_t rows = length * static_cast<std::size_t>(call.chain.stride);
  double* const memory = call.scratch + static_cast<std::size_t>(slot) * plan.scratch_doubles;
  double* const weights = memory + 2 * length;
  const Scratch scaled = {weights, weights + rows, nullptr, memory, memory + length};
  const Scratch complete = {weights, weights + rows, weights + 2 * rows, memory, memory + length};
  return {scaled, complete, static_cast<T*>(static_cast<void*>(weights + 3 * rows))};
}

// Runs body(sentence, first token, length, room) for every sentence that is not empty.
template <typename T, typename Body>
void for_each_sentence(const Call<T>& call, const CpuPlan& plan, int threads, const Body& body) {
  const std::int64_t blocks = static_cast<std::int64_t>(plan.blocks.size());
  const std::int64_t* const offsets = call.params.offsets;
  parallel_for(plan.slots, 1, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s) {
      const Slot<T> slot = slot_of(call, plan, static_cast<int>(s));
      for (std::int64_t block = s; block < blocks; block += plan.slots) {
        double* const partials = call.partials + static_cast<std::size_t>(block) * plan.partial_doubles;
        const Piece& piece = plan.blocks[static_cast<std::size_t>(block)];
        for (std::int64_t b = piece.first; b < piece.last; ++b) {
          if (offsets[b] < offsets[b + 1]) body(b, offsets[b], offsets[b + 1] - offsets[b], slot, partials);
        }
      }
    }
  });
}

// Score of the gold path relative to the shifts that forward() left.
template <typename T>
double gold_score(const Call<T>& call, std::int64_t begin, std::int64_t length, const double* shift) {
  const Chain& c = call.chain;
  const std::int64_t* const gold = call.params.gold + begin;
  const T* const emissions = call.params.emissions + begin * c.tags;
  double score = c.log_start[gold[0]] + c.log_end[gold[length - 1]];
  for (std::int64_t t = 0; t < length; ++t) {
    score += static_cast<double>(emissions[t * c.tags + gold[t]]) - shift[t];
    if (t > 0) score += c.log_transitions[gold[t - 1] * c.tags + gold[t]];
  }
  return score;
}

// ---- The log domain, for sentences that scaled probabilities cannot do. Uses weights, alpha and beta of the
// room.

template <typename T>
double log_domain_forward(const Call<T>& call, std::int64_t begin, std::int64_t length, const Scratch& room) {
  const Chain& c = call.chain;
  const T* const emissions = call.params.emissions + begin * c.tags;
  for (std::int64_t t = 0; t < length; ++t) {
    double top = kNone;
    for (int j = 0; j < c.tags; ++j) top = std::max(top, static_cast<double>(emissions[t * c.tags + j]));
    room.shift[t] = top > kNone ? top : 0.0;
    for (int j = 0; j < c.tags; ++j) {
      room.weights[t * c.stride + j] = static_cast<double>(emissions[t * c.tags + j]) - room.shift[t];
    }
  }
  return log_forward(room.weights, c.log_transitions, c.log_start, c.log_end, c.tags, c.stride, length,
                     room.alpha);
}

// As Kernels::backward, but `pairs`, where given, gets factor * expected transitions added.
template <typename T>
void log_domain_backward(const Call<T>& call, std::int64_t length, const Scratch& room, double log_z,
                         double factor, const std::int64_t* gold, T* out, double* pairs) {
  const Chain& c = call.chain;
  const int k = c.tags;
  double work[kMaxTags];
  log_backward(room.weights, c.log_transitions, c.log_end, k, c.stride, length, room.beta, work);
  for (std::int64_t t = 0; t < length; ++t) {
    const double* const alpha = room.alpha + t * c.stride;
    const double* const beta = room.beta + t * c.stride;
    for (int j = 0; j < k; ++j) {
      const double posterior = factor * share_of(alpha[j] + beta[j], log_z);
      out[t * k + j] = static_cast<T>(gold != nullptr && gold[t] == j ? posterior - factor : posterior);
    }
    if (t == 0 || pairs == nullptr) continue;
    const double* const before = alpha - c.stride;
    const double* const emission = room.weights + t * c.stride;
    for (int i = 0; i < k; ++i) {
      for (int j = 0; j < k; ++j) {
        const double pair = before[i] + c.log_transitions[i * k + j] + (emission[j] + beta[j]);
        pairs[i * c.stride + j] += factor * share_of(pair, log_z);
      }
    }
  }
}

// ---- One sentence.

struct Done {
  bool in_log_domain;  // what alpha and beta of the room hold
  double log_z;        // relative to the shifts; filled in the log domain only
};

// Posteriors into `out`, alpha, beta and shifts into the room.
template <typename T>
Done posteriors(const Call<T>& call, std::int64_t begin, std::int64_t length, const Slot<T>& slot, T* out) {
  double log_z;
  const T* const emissions = call.params.emissions + begin * call.chain.tags;
  if (call.kernels.forward(call.chain, emissions, length, slot.complete, &log_z) != Outcome::kFailed &&
      call.kernels.backward(call.chain, length, slot.complete, 1.0, false, nullptr, out) !=
          Outcome::kFailed) {
    return {false, log_z};
  }
  log_z = log_domain_forward(call, begin, length, slot.complete);
  log_domain_backward(call, length, slot.complete, log_z, 1.0, nullptr, out, nullptr);
  return {true, log_z};
}

// p(tags[t] = gold[t] for t in [from, to) | emissions), from the room that posteriors() left; `gold` of the
// sentence.
double span_probability(const Chain& c, const Scratch& room, const Done& done, const std::int64_t* gold,
                        std::int64_t from, std::int64_t to) {
  const double first = room.alpha[from * c.stride + gold[from]];
  const double last = room.beta[(to - 1) * c.stride + gold[to - 1]];
  if (done.in_log_domain) {
    double value = first + last;
    for (std::int64_t t = from + 1; t < to; ++t) {
      value += c.log_transitions[gold[t - 1] * c.tags + gold[t]] + room.weights[t * c.stride + gold[t]];
    }
    return std::min(share_of(value, done.log_z), 1.0);
  }
  double value = first * room.scale[from];
  for (std::int64_t t = from + 1; t < to; ++t) {
    value *=
        c.weights[gold[t - 1] * c.stride + gold[t]] * room.weights[t * c.stride + gold[t]] * room.scale[t];
  }
  return std::min(value * last, 1.0);
}

}  // namespace

template <typename T>
CpuPlan plan_cpu(const Params<T>& params, Task task, int threads) {
  CpuPlan plan;
  const std::size_t tags = static_cast<std::size_t>(params.tags);
  const std::size_t stride = stride_of(params.tags);
  const std::int64_t most = params.tags > 64 ? kMostBlocks / 4 : kMostBlocks;
  const std::int64_t work = params.tokens * params.tags / kBlockWork;
  plan.blocks = split_by_tokens(params.offsets, params.sentences, std::clamp<std::int64_t>(work, 1, most));
  for (const Piece& block : plan.blocks) {
    plan.longest = std::max(plan.longest, longest_sentence(params.offsets, block));
  }
  const std::int64_t blocks = static_cast<std::int64_t>(plan.blocks.size());
  plan.slots = static_cast<int>(std::min<std::int64_t>(std::max(threads, 1), blocks));
  plan.table_doubles = padded(tags * tags) + 2 * padded(tags) + 2 * tags * stride + 2 * stride;
  // Expected transitions (to be weighted), what is added to them, start, end.
  if (task == Task::kGradients) plan.partial_doubles = 2 * tags * stride + 2 * stride;
  const std::size_t length = padded(static_cast<std::size_t>(plan.longest));
  plan.scratch_doubles = 2 * length + 4 * length * stride;
  plan.workspace_bytes = sizeof(double) * (plan.table_doubles + plan.partial_doubles * plan.blocks.size() +
                                           plan.scratch_doubles * static_cast<std::size_t>(plan.slots));
  return plan;
}

template <typename T>
void log_likelihood_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads, T* out) {
  const Call<T> call = begin_call(params, plan, workspace);
  std::fill_n(out, params.sentences, T(0));
  for_each_sentence(
      call, plan, threads,
      [&](std::int64_t b, std::int64_t begin, std::int64_t length, const Slot<T>& slot, double*) {
        double log_z;
        const T* const emissions = params.emissions + begin * params.tags;
        Outcome outcome = call.kernels.forward(call.chain, emissions, length, slot.scaled, &log_z);
        if (outcome == Outcome::kDoubtful) {
          outcome = call.kernels.backward(call.chain, length, slot.scaled, 1.0, false, nullptr, slot.spare);
        }
        if (outcome == Outcome::kFailed) log_z = log_domain_forward(call, begin, length, slot.scaled);
        const double score = gold_score(call, begin, length, slot.scaled.shift);
        // An impossible path of an impossible sentence: -inf, not NaN.
        out[b] = static_cast<T>(score == kNone && !std::isnan(log_z) ? kNone : score - log_z);
      });
}

template <typename T>
void gradients_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads,
                   const Gradients<T>& gradients) {
  const Call<T> call = begin_call(params, plan, workspace);
  const Chain& chain = call.chain;
  const std::size_t k = static_cast<std::size_t>(params.tags);
  const std::size_t stride = static_cast<std::size_t>(chain.stride);
  const std::size_t table = k * stride;
  const bool keep_pairs = gradients.transitions != nullptr;
  std::fill_n(call.partials, plan.partial_doubles * plan.blocks.size(), 0.0);
  for_each_sentence(
      call, plan, threads,
      [&](std::int64_t b, std::int64_t begin, std::int64_t length, const Slot<T>& slot, double* partials) {
        double* const weighted = partials;  // times exp(transitions) at the end
        double* const direct = weighted + table;
        double* const start = direct + table;
        double* const end = start + stride;
        const std::int64_t* const gold = params.gold + begin;
        const T* const emissions = params.emissions + begin * params.tags;
        T* const out = gradients.emissions + begin * params.tags;
        const double upstream = static_cast<double>(gradients.upstream[b]);
        double log_z = 0.0;
        Outcome outcome = Outcome::kFailed;
        bool possible = upstream != 0.0;
        if (possible) {
          outcome = call.kernels.forward(chain, emissions, length, slot.scaled, &log_z);
          if (outcome == Outcome::kFailed) log_z = log_domain_forward(call, begin, length, slot.scaled);
          possible = gold_score(call, begin, length, slot.scaled.shift) != kNone;
        }
        if (!possible) {
          std::fill_n(out, length * params.tags, T(0));
          return;
        }
        if (outcome != Outcome::kFailed) {
          outcome = call.kernels.backward(chain, length, slot.scaled, -upstream, keep_pairs, gold, out);
          if (outcome == Outcome::kFailed) {
            log_z = log_domain_forward(call, begin, length, slot.scaled);
          } else if (keep_pairs) {
            call.kernels.add_pairs(chain, length, slot.scaled, weighted);
          }
        }
        if (outcome == Outcome::kFailed) {
          log_domain_backward(call, length, slot.complete, log_z, -upstream, gold, out,
                              keep_pairs ? direct : nullptr);
        }
        for (std::size_t j = 0; j < k; ++j) {
          start[j] += static_cast<double>(out[j]);
          end[j] += static_cast<double>(out[static_cast<std::size_t>(length - 1) * k + j]);
        }
        for (std::int64_t t = 1; t < length; ++t) direct[gold[t - 1] * chain.stride + gold[t]] += upstream;
      });
  // Blocks in order.
  auto total = [&](std::size_t index) {
    double sum = 0.0;
    for (std::size_t block = 0; block < plan.blocks.size(); ++block) {
      sum += call.partials[block * plan.partial_doubles + index];
    }
    return sum;
  };
  for (std::size_t i = 0; i < k; ++i) {
    if (gradients.start) gradients.start[i] = static_cast<T>(total(2 * table + i));
    if (gradients.end) gradients.end[i] = static_cast<T>(total(2 * table + stride + i));
    for (std::size_t j = 0; keep_pairs && j < k; ++j) {
      const std::size_t entry = i * stride + j;
      const double weighted = total(entry);  // 0 must stay so beside a weight that is no number
      gradients.transitions[i * k + j] =
          static_cast<T>((weighted == 0.0 ? 0.0 : weighted * chain.weights[entry]) + total(table + entry));
    }
  }
}

template <typename T>
void marginals_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads, T* out) {
  const Call<T> call = begin_call(params, plan, workspace);
  for_each_sentence(call, plan, threads,
                    [&](std::int64_t, std::int64_t begin, std::int64_t length, const Slot<T>& slot, double*) {
                      posteriors(call, begin, length, slot, out + begin * params.tags);
                    });
}

template <typename T>
void span_marginals_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads,
                        const std::int64_t* spans, const std::int64_t* by_sentence,
                        const std::int64_t* first_span, T* out) {
  const Call<T> call = begin_call(params, plan, workspace);
  for_each_sentence(
      call, plan, threads,
      [&](std::int64_t b, std::int64_t begin, std::int64_t length, const Slot<T>& slot, double*) {
        if (first_span[b] == first_span[b + 1]) return;
        const Done done = posteriors(call, begin, length, slot, slot.spare);
        for (std::int64_t s = first_span[b]; s < first_span[b + 1]; ++s) {
          const std::int64_t* const span = spans + 3 * by_sentence[s];
          out[by_sentence[s]] = static_cast<T>(span_probability(
              call.chain, slot.complete, done, params.gold + begin, span[1] - begin, span[2] - begin));
        }
      });
}

#define BIONER_INSTANTIATE(T)                                                                            \
  template CpuPlan plan_cpu<T>(const Params<T>&, Task, int);                                             \
  template void log_likelihood_cpu<T>(const Params<T>&, const CpuPlan&, void*, int, T*);                 \
  template void gradients_cpu<T>(const Params<T>&, const CpuPlan&, void*, int, const Gradients<T>&);     \
  template void marginals_cpu<T>(const Params<T>&, const CpuPlan&, void*, int, T*);                      \
  template void span_marginals_cpu<T>(const Params<T>&, const CpuPlan&, void*, int, const std::int64_t*, \
                                      const std::int64_t*, const std::int64_t*, T*);
BIONER_INSTANTIATE(float)
BIONER_INSTANTIATE(double)
#undef BIONER_INSTANTIATE

}  // namespace bioner::crf
