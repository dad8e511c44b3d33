// Viterbi decoding of packed sentences: the best tag sequence under emissions and transitions, in the log
// domain.
//
// All arithmetic is float64, whatever the type of the inputs: a float32 sentence of any length gets the
// float64 path, and nothing drifts. (The SIMD levels may find the path in fixed point where that is proved to
// be the same one; see fixed.h.) Only additions and maxima in one fixed order, so every backend gives the
// same bits, where a maximum goes over ascending tags by a strict > and starts from -inf and index 0:
//   alpha[0, j] = emission[0, j] + start[j]
//   best[t, j]  = max over i of (alpha[t - 1, i] + transition[i, j])
//   alpha[t, j] = emission[t, j] + best[t, j]
//   score       = max over j of (alpha[last, j] + end[j])
// Hence ties go to the lowest tag, a column of -inf gives index 0, and NaN never wins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/runtime/partition.h"

namespace bioner::viterbi {

constexpr int kMaxTags = 256;

enum class Readout {
  kPath = 0,           // the best sequence
  kForwardArgmax = 1,  // argmax over j of alpha[t, j] at every t, without back-pointers
};

template <typename T>
struct Params {
  const T* emissions;           // [tokens, tags]
  const T* transitions;         // [tags, tags], row = from, column = to
  const std::int64_t* offsets;  // [sentences + 1]
  const T* start;               // [tags] or null
  const T* end;                 // [tags] or null
  std::int64_t* out_tags;       // [tokens]
  T* out_scores;                // [sentences]; 0 for an empty sentence
  std::int64_t tokens;
  std::int64_t sentences;
  int tags;  // 1 .. kMaxTags
  Readout readout;
};

// ---- CPU. Offsets must be good. The plan allocates; decoding does not.

struct CpuPlan {
  std::vector<Piece> pieces;
  std::vector<std::size_t> workspace_offsets;  // of each piece, after the shared tables
  std::size_t workspace_bytes = 0;             // aligned to 64
};

template <typename T>
CpuPlan plan_cpu(const Params<T>& params, int threads);

template <typename T>
void decode_cpu(const Params<T>& params, const CpuPlan& plan, void* workspace, int threads);

// The k best sequences: out_tags [tokens, k], out_scores [sentences, k], best first; -inf and zeros where
// there are fewer. `readout` is not read. 1 <= k <= kMostPaths.
constexpr int kMostPaths = 1024;

template <typename T>
void top_k_cpu(const Params<T>& params, int k, int threads);

// ---- CUDA. One launch on `stream`; offsets are clamped, never trusted. Returns a cudaError_t.

// Bytes of device memory for the back-pointers.
inline std::size_t cuda_workspace_bytes(std::int64_t tokens, int tags) {
  return static_cast<std::size_t>(tokens) * static_cast<std::size_t>(tags);
}

template <typename T>
int decode_cuda(const Params<T>& params, void* workspace, void* stream);

}  // namespace bioner::viterbi
