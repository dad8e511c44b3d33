// Directional derivatives of the log-likelihood, first and second, on the CPU.
//
// The forward pass in the log domain, every value with its derivative along one direction:
//   from[t, j]    = log sum over i of exp(alpha[t - 1, i] + transition[i, j])
//   alpha[t, j]   = emission[t, j] + from[t, j], less the greatest of the token
//   share[i | j]  = exp(alpha[t - 1, i] + transition[i, j] - from[t, j]): p(tag i before | tag j), sums to 1
// and, back from p(last tag), the posteriors of tags and pairs of tags as products of these shares. Nothing
// but probabilities is multiplied, so nothing overflows, and no length of a sentence costs more than
// rounding.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/runtime/thread_pool.h"
#include "ops/crf/crf.h"

namespace bioner::crf {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kMostBlocks = 64;

// 0 where nothing is possible, whatever the direction says there: it may be infinite where a score is.
double times(double probability, double derivative) {
  return probability == 0.0 ? 0.0 : probability * derivative;
}

template <typename T>
double at(const T* values, std::int64_t index) {
  return values == nullptr ? 0.0 : static_cast<double>(values[index]);
}

// Scores, and their derivatives along the direction; transitions by column.
template <typename T>
struct Chain {
  const Params<T>& params;
  const Direction<T>& along;
  std::vector<double> transposed, d_transposed;

  Chain(const Params<T>& p, const Direction<T>& direction) : params(p), along(direction) {
    const std::int64_t k = p.tags;
    transposed.resize(static_cast<std::size_t>(k * k));
    d_transposed.resize(transposed.size());
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = 0; j < k; ++j) {
        transposed[static_cast<std::size_t>(j * k + i)] = static_cast<double>(p.transitions[i * k + j]);
        d_transposed[static_cast<std::size_t>(j * k + i)] = at(direction.transitions, i * k + j);
      }
    }
  }
};

// Room of one thread, and what forward() leaves in it.
struct Room {
  std::vector<double> alpha, d_alpha, from, d_from;  // [longest, tags]
  std::vector<double> mass, d_mass, next, d_next;    // [tags]
  double d_log_z = 0.0;

  Room(std::int64_t longest, int tags) {
    const std::size_t k = static_cast<std::size_t>(tags);
    for (auto* rows : {&alpha, &d_alpha, &from, &d_from}) rows->resize(static_cast<std::size_t>(longest) * k);
    for (auto* row : {&mass, &d_mass, &next, &d_next}) row->resize(k);
  }
};

// Leaves the posteriors of the last token in room.mass. False: no sequence is possible.
template <typename T>
bool forward(const Chain<T>& chain, std::int64_t begin, std::int64_t length, Room& room) {
  const Params<T>& p = chain.params;
  const int k = p.tags;
  double d_total = 0.0;
  for (std::int64_t t = 0; t < length; ++t) {
    double* const alpha = room.alpha.data() + t * k;
    double* const d_alpha = room.d_alpha.data() + t * k;
    double* const from = room.from.data() + t * k;
    double* const d_from = room.d_from.data() + t * k;
    for (int j = 0; j < k; ++j) {
      if (t == 0) {
        from[j] = at(p.start, j);
        d_from[j] = at(chain.along.start, j);
      } else {
        const double* const before = alpha - k;
        const double* const transitions = chain.transposed.data() + j * k;
        const double* const d_transitions = chain.d_transposed.data() + j * k;
        double top = kNone;
        for (int i = 0; i < k; ++i) top = std::max(top, before[i] + transitions[i]);
        if (top == kNone) top = 0.0;
        double sum = 0.0;
        double d_sum = 0.0;
        for (int i = 0; i < k; ++i) {
          const double weight = std::exp(before[i] + transitions[i] - top);
          sum += weight;
          d_sum += times(weight, d_alpha[i - k] + d_transitions[i]);
        }
        from[j] = top + std::log(sum);
        d_from[j] = sum == 0.0 ? 0.0 : d_sum / sum;
      }
      const std::int64_t index = (begin + t) * k + j;
      alpha[j] = from[j] + static_cast<double>(p.emissions[index]);
      d_alpha[j] = alpha[j] == kNone ? 0.0 : d_from[j] + at(chain.along.emissions, index);
    }
    // The same number off all tags of a token changes no share; what it takes off the derivative is kept.
    const std::int64_t best = std::max_element(alpha, alpha + k) - alpha;
    const double shift = alpha[best];
    const double d_shift = d_alpha[best];
    if (shift == kNone) return false;
    for (int j = 0; j < k; ++j) {
      alpha[j] -= shift;
      if (alpha[j] != kNone) d_alpha[j] -= d_shift;
    }
    d_total += d_shift;
  }
  const double* const alpha = room.alpha.data() + (length - 1) * k;
  const double* const d_alpha = room.d_alpha.data() + (length - 1) * k;
  double top = kNone;
  for (int j = 0; j < k; ++j) top = std::max(top, alpha[j] + at(p.end, j));
  if (top == kNone) return false;
  double sum = 0.0;
  for (int j = 0; j < k; ++j) sum += room.mass[j] = std::exp(alpha[j] + at(p.end, j) - top);
  double d_sum = 0.0;
  for (int j = 0; j < k; ++j) {
    room.mass[j] /= sum;
    d_sum += times(room.mass[j], d_alpha[j] + at(chain.along.end, j));
  }
  for (int j = 0; j < k; ++j) {
    room.d_mass[j] = times(room.mass[j], d_alpha[j] + at(chain.along.end, j) - d_sum);
  }
  room.d_log_z = d_total + d_sum;
  return true;
}

// After forward(): calls of_tag(t, j, derivative of p(j at t)) and of_pair(i, j, derivative of p(i at t - 1,
// j at t)) for all.
template <typename T, typename OfTag, typename OfPair>
void backward(const Chain<T>& chain, std::int64_t length, Room& room, const OfTag& of_tag,
              const OfPair& of_pair) {
  const int k = chain.params.tags;
  for (std::int64_t t = length - 1;; --t) {
    for (int j = 0; j < k; ++j) of_tag(t, j, room.d_mass[j]);
    if (t == 0) return;
    const double* const before = room.alpha.data() + (t - 1) * k;
    const double* const d_before = room.d_alpha.data() + (t - 1) * k;
    std::fill(room.next.begin(), room.next.end(), 0.0);
    std::fill(room.d_next.begin(), room.d_next.end(), 0.0);
    for (int j = 0; j < k; ++j) {
      if (room.mass[j] == 0.0 && room.d_mass[j] == 0.0) continue;
      const double* const transitions = chain.transposed.data() + j * k;
      const double* const d_transitions = chain.d_transposed.data() + j * k;
      const double from = room.from[t * k + j];
      const double d_from = room.d_from[t * k + j];
      for (int i = 0; i < k; ++i) {
        const double share = std::exp(before[i] + transitions[i] - from);
        if (share == 0.0) continue;
        const double pair = room.mass[j] * share;
        const double d_pair = room.d_mass[j] * share + times(pair, d_before[i] + d_transitions[i] - d_from);
        room.next[i] += pair;
        room.d_next[i] += d_pair;
        of_pair(i, j, d_pair);
      }
    }
    std::swap(room.mass, room.next);
    std::swap(room.d_mass, room.d_next);
  }
}

// The score of the gold tags (0 or -inf: whether they are possible) and its derivative along `along`.
template <typename T>
double gold_along(const Params<T>& p, const Direction<T>& along, std::int64_t begin, std::int64_t length) {
  const std::int64_t* const gold = p.gold + begin;
  double sum = at(along.start, gold[0]) + at(along.end, gold[length - 1]);
  for (std::int64_t t = 0; t < length; ++t) {
    sum += at(along.emissions, (begin + t) * p.tags + gold[t]);
    if (t > 0) sum += at(along.transitions, gold[t - 1] * p.tags + gold[t]);
  }
  return sum;
}

template <typename T>
bool gold_is_possible(const Params<T>& p, std::int64_t begin, std::int64_t length) {
  return p.gold == nullptr ||
         gold_along(p, Direction<T>{p.emissions, p.transitions, p.start, p.end}, begin, length) != kNone;
}

// Runs body(block, sentence, first token, length, room) for every sentence with tokens, blocks side by side.
template <typename T, typename Body>
std::size_t for_each_sentence(const Params<T>& p, int threads, const Body& body) {
  const std::vector<Piece> blocks = split_by_tokens(p.offsets, p.sentences, kMostBlocks);
  parallel_for(static_cast<std::int64_t>(blocks.size()), 1, threads,
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t block = first; block < last; ++block) {
                   const Piece& piece = blocks[static_cast<std::size_t>(block)];
                   Room room(longest_sentence(p.offsets, piece), p.tags);
                   for (std::int64_t b = piece.first; b < piece.last; ++b) {
                     const std::int64_t length = p.offsets[b + 1] - p.offsets[b];
                     if (length > 0) body(static_cast<std::size_t>(block), b, p.offsets[b], length, room);
                   }
                 }
               });
  return blocks.size();
}

}  // namespace

template <typename T>
void tangent_cpu(const Params<T>& params, const Direction<T>& along, int threads, T* out) {
  const Chain<T> chain(params, along);
  std::fill_n(out, params.sentences, T(0));
  for_each_sentence(params, threads,
                    [&](std::size_t, std::int64_t b, std::int64_t begin, std::int64_t length, Room& room) {
                      if (!gold_is_possible(params, begin, length) || !forward(chain, begin, length, room))
                        return;
                      out[b] = static_cast<T>(gold_along(params, along, begin, length) - room.d_log_z);
                    });
}

template <typename T>
void curvature_cpu(const Params<T>& params, const Direction<T>& along, int threads, const Gradients<T>& out) {
  const Chain<T> chain(params, along);
  const std::int64_t k = params.tags;
  const std::size_t width = static_cast<std::size_t>(k * (k + 2));  // transitions, start, end
  std::vector<double> sums(static_cast<std::size_t>(kMostBlocks) * width, 0.0);
  const std::size_t blocks = for_each_sentence(
      params, threads,
      [&](std::size_t block, std::int64_t b, std::int64_t begin, std::int64_t length, Room& room) {
        double* const transitions = sums.data() + block * width;
        T* const emissions = out.emissions + begin * k;
        const double weight = -static_cast<double>(out.upstream[b]);
        if (weight == 0.0 || !gold_is_possible(params, begin, length) ||
            !forward(chain, begin, length, room)) {
          std::fill_n(emissions, length * k, T(0));
          return;
        }
        backward(
            chain, length, room,
            [&](std::int64_t t, int j, double d) {
              emissions[t * k + j] = static_cast<T>(weight * d);
              if (t == 0) transitions[k * k + j] += weight * d;
              if (t == length - 1) transitions[k * k + k + j] += weight * d;
            },
            [&](int i, int j, double d) { transitions[i * k + j] += weight * d; });
      });
  for (std::int64_t i = 0; i < k * (k + 2); ++i) {
    double sum = 0.0;
    for (std::size_t block = 0; block < blocks; ++block)
      sum += sums[block * width + static_cast<std::size_t>(i)];
    (i < k * k       ? out.transitions[i]
     : i < k * k + k ? out.start[i - k * k]
                     : out.end[i - k * k - k]) = static_cast<T>(sum);
  }
}

template <typename T>
void bend_cpu(const Params<T>& params, const Direction<T>& along, const Direction<T>& other, int threads,
              T* out) {
  const Chain<T> chain(params, along);
  const std::int64_t k = params.tags;
  std::fill_n(out, params.sentences, T(0));
  for_each_sentence(params, threads,
                    [&](std::size_t, std::int64_t b, std::int64_t begin, std::int64_t length, Room& room) {
                      if (!gold_is_possible(params, begin, length) || !forward(chain, begin, length, room))
                        return;
                      double sum = 0.0;
                      backward(
                          chain, length, room,
                          [&](std::int64_t t, int j, double d) {
                            sum += times(d, at(other.emissions, (begin + t) * k + j));
                            if (t == 0) sum += times(d, at(other.start, j));
                            if (t == length - 1) sum += times(d, at(other.end, j));
                          },
                          [&](int i, int j, double d) { sum += times(d, at(other.transitions, i * k + j)); });
                      out[b] = static_cast<T>(-sum);
                    });
}

#define BIONER_INSTANTIATE(T)                                                                      \
  template void tangent_cpu<T>(const Params<T>&, const Direction<T>&, int, T*);                    \
  template void curvature_cpu<T>(const Params<T>&, const Direction<T>&, int, const Gradients<T>&); \
  template void bend_cpu<T>(const Params<T>&, const Direction<T>&, const Direction<T>&, int, T*);
BIONER_INSTANTIATE(float)
BIONER_INSTANTIATE(double)
#undef BIONER_INSTANTIATE

}  // namespace bioner::crf
