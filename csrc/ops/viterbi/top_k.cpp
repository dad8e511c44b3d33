// The k best sequences of every sentence, on the CPU.
//
// From the last token to the first, every tag keeps the k best ways to go on from it, in order. Those of a
// tag are merged from the lists of all tags that may follow, which are sorted: k steps of one comparison per
// tag. Of equal sums the lower next tag goes first, so that of sequences with equal scores the lower first
// different tag does.
#include <algorithm>
#include <limits>
#include <vector>

#include "base/runtime/partition.h"
#include "base/runtime/thread_pool.h"
#include "ops/viterbi/viterbi.h"

namespace bioner::viterbi {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kPiecesPerThread = 4;

// One way to go on: the next tag, and which of its ways.
struct Next {
  std::uint16_t tag;
  std::uint16_t rank;
};

// The k best of `lists` [tags, k] (each sorted, -inf at its end), with weights[j] added to list j. What is
// not there is -inf. NaN never wins.
void merge(const double* weights, const double* lists, int tags, int k, std::int32_t* heads, double* out,
           Next* from) {
  std::fill_n(heads, tags, 0);
  for (int rank = 0; rank < k; ++rank) {
    double best = kNone;
    int tag = 0;
    for (int j = 0; j < tags; ++j) {
      if (heads[j] == k) continue;
      const double candidate = weights[j] + lists[j * k + heads[j]];
      if (candidate > best) {
        best = candidate;
        tag = j;
      }
    }
    out[rank] = best;
    from[rank] = {static_cast<std::uint16_t>(tag), static_cast<std::uint16_t>(heads[tag])};
    if (best == kNone) {
      std::fill(out + rank, out + k, kNone);
      return;
    }
    ++heads[tag];
  }
}

}  // namespace

template <typename T>
void top_k_cpu(const Params<T>& p, int k, int threads) {
  const int tags = p.tags;
  std::vector<double> transitions(static_cast<std::size_t>(tags) * static_cast<std::size_t>(tags));
  std::transform(p.transitions, p.transitions + tags * tags, transitions.begin(),
                 [](T value) { return static_cast<double>(value); });
  std::vector<double> start(static_cast<std::size_t>(tags), 0.0);
  if (p.start != nullptr) std::copy_n(p.start, tags, start.begin());
  const std::vector<Piece> pieces = split_by_tokens(p.offsets, p.sentences, threads * kPiecesPerThread);
  parallel_for(
      static_cast<std::int64_t>(pieces.size()), 1, threads, [&](std::int64_t first, std::int64_t last) {
        const std::size_t row = static_cast<std::size_t>(tags) * static_cast<std::size_t>(k);
        std::vector<double> lists(row), before(row), ends(static_cast<std::size_t>(k));
        std::vector<std::int32_t> heads(static_cast<std::size_t>(tags));
        std::vector<Next> next, firsts(static_cast<std::size_t>(k));
        for (std::int64_t piece = first; piece < last; ++piece) {
          const Piece& sentences = pieces[static_cast<std::size_t>(piece)];
          next.resize(
              std::max(next.size(), static_cast<std::size_t>(longest_sentence(p.offsets, sentences)) * row));
          for (std::int64_t b = sentences.first; b < sentences.last; ++b) {
            const std::int64_t begin = p.offsets[b];
            const std::int64_t length = p.offsets[b + 1] - begin;
            T* const scores = p.out_scores + b * k;
            if (length == 0) {
              std::fill_n(scores, k, static_cast<T>(kNone));
              scores[0] = 0;
              continue;
            }
            for (std::int64_t t = length - 1; t >= 0; --t) {
              for (int i = 0; i < tags; ++i) {
                double* const out = before.data() + i * k;
                if (t == length - 1) {
                  std::fill_n(out, k, kNone);
                  out[0] = p.end == nullptr ? 0.0 : static_cast<double>(p.end[i]);
                } else {
                  merge(transitions.data() + i * tags, lists.data(), tags, k, heads.data(), out,
                        next.data() + (t * tags + i) * k);
                }
                const double emission = static_cast<double>(p.emissions[(begin + t) * tags + i]);
                for (int rank = 0; rank < k; ++rank) {
                  // Where nothing goes on, an emission of infinity must not make a number of it.
                  out[rank] = out[rank] == kNone ? kNone : out[rank] + emission;
                }
              }
              std::swap(lists, before);
            }
            merge(start.data(), lists.data(), tags, k, heads.data(), ends.data(), firsts.data());
            for (int rank = 0; rank < k; ++rank) {
              scores[rank] = static_cast<T>(ends[static_cast<std::size_t>(rank)]);
              std::int64_t* const out = p.out_tags + begin * k + rank;
              if (ends[static_cast<std::size_t>(rank)] == kNone) {
                for (std::int64_t t = 0; t < length; ++t) out[t * k] = 0;
                continue;
              }
              Next at = firsts[static_cast<std::size_t>(rank)];
              for (std::int64_t t = 0; t < length; ++t) {
                out[t * k] = at.tag;
                if (t + 1 < length) at = next[static_cast<std::size_t>((t * tags + at.tag) * k + at.rank)];
              }
            }
          }
        }
      });
}

template void top_k_cpu<float>(const Params<float>&, int, int);
template void top_k_cpu<double>(const Params<double>&, int, int);

}  // namespace bioner::viterbi
