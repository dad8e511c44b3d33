// Linear-chain CRF over packed sentences: log-likelihood of gold tags and its gradients, marginals.
//
// Everything is computed in float64. The recurrences run on probabilities that are scaled at every token,
// with exp(transitions) taken once; a sentence whose probabilities leave the range where that is exact to
// rounding is done again in the log domain (core.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/runtime/partition.h"

namespace bioner::crf {

constexpr int kMaxTags = 256;

template <typename T>
struct Params {
  const T* emissions;           // [tokens, tags]
  const T* transitions;         // [tags, tags], row = from, column = to
  const std::int64_t* offsets;  // [sentences + 1]
  const T* start;               // [tags] or null
  const T* end;                 // [tags] or null
  const std::int64_t* gold;     // [tokens], where an op needs tags
  std::int64_t tokens;
  std::int64_t sentences;
  int tags;  // 1 .. kMaxTags
};

// d loss / d of what log_likelihood() reads. Any but `emissions` may be null.
template <typename T>
struct Gradients {
  const T* upstream;  // [sentences]: d loss / d log-likelihood
  T* emissions;       // [tokens, tags]
  T* transitions;     // [tags, tags]
  T* start;           // [tags]
  T* end;             // [tags]
};

// Sums over the batch are taken in these blocks, which depend on the input and never on the number of
// threads.
struct CpuPlan {
  std::vector<Piece> blocks;
  std::int64_t longest = 0;         // tokens
  int slots = 1;                    // blocks that may be in work at once
  std::size_t table_doubles = 0;    // shared parameters
  std::size_t partial_doubles = 0;  // sums of one block
  std::size_t scratch_doubles = 0;  // of one slot
  std::size_t workspace_bytes = 0;
};

enum class Task { kLogLikelihood, kGradients, kMarginals, kSpans };

template <typename T>
CpuPlan plan_cpu(const Params<T>& params, Task task, int threads);

// out [sentences]: log p(gold | emissions); 0 for an empty sentence, -inf where gold is impossible.
template <typename T>
void log_likelihood_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads, T* out);

// A sentence whose gold path is impossible contributes zeros.
template <typename T>
void gradients_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads,
                   const Gradients<T>& gradients);

// out [tokens, tags]: p(tag of a token | emissions); zeros where no path is possible.
template <typename T>
void marginals_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads, T* out);

// out [spans]: p(tags[t] = gold[t] for all t in [begin, end) | emissions). `spans` is [count, 3]: sentence,
// begin, end (indices of tokens in the batch); `by_sentence` holds the indices of the spans of sentence b at
// [first_span[b], first_span[b + 1]).
template <typename T>
void span_marginals_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads,
                        const std::int64_t* spans, const std::int64_t* by_sentence,
                        const std::int64_t* first_span, T* out);

// ---- Derivatives along a direction (tangents.cpp), on the CPU. Scores of -inf are constants; a sentence
// that is impossible, or (where `gold` is given) whose gold path is, contributes zeros.

// What is added to the scores, per unit of the derivative; any may be null: zeros.
template <typename T>
struct Direction {
  const T* emissions;    // [tokens, tags]
  const T* transitions;  // [tags, tags]
  const T* start;        // [tags]
  const T* end;          // [tags]
};

// out [sentences]: the derivative of log_likelihood().
template <typename T>
void tangent_cpu(const Params<T>& params, const Direction<T>& along, int threads, T* out);

// The derivative of gradients_cpu() with a constant `upstream`; of all of them, none is null. It does not
// depend on `gold`.
template <typename T>
void curvature_cpu(const Params<T>& params, const Direction<T>& along, int threads, const Gradients<T>& out);

// out [sentences]: the derivative of tangent_cpu() along `other`.
template <typename T>
void bend_cpu(const Params<T>& params, const Direction<T>& along, const Direction<T>& other, int threads,
              T* out);

// ---- CUDA. One launch per pass on `stream`; offsets and tags are clamped, never trusted. Each returns a
// cudaError_t.

std::size_t cuda_workspace_bytes(std::int64_t tokens, std::int64_t sentences, int tags, Task task);

template <typename T>
int log_likelihood_cuda(const Params<T>& params, void* stream, T* out);

template <typename T>
int gradients_cuda(const Params<T>& params, void* workspace, void* stream, const Gradients<T>& gradients);

template <typename T>
int marginals_cuda(const Params<T>& params, void* workspace, void* stream, T* out);

}  // namespace bioner::crf
