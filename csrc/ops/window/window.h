// Windows over packed sentences. Token t of a sentence sees `window` (odd) positions centred on it:
//
//   position   t - c ... t ... t + c        c = window / 2, j = 0 .. window - 1
//   out[t]  =  row(t - c) | ... | row(t + c)
//
// where row(m) is values[m], or weight[ids[m]], and the padding row outside the token's own sentence. Offsets
// are int64 [B + 1]. No function allocates, throws or checks; callers bring outputs and workspaces.
#pragma once

#include <cstdint>

#include "base/core/packed.h"
#include "base/core/scalar.h"
#include "base/runtime/simd.h"

namespace bioner::window {

// out [N, window * D] from rows of `row_bytes` bytes; the element type does not matter.
struct Gather {
  PackedOffsets sentences;
  int window;
  std::int64_t row_bytes;
  const void* rows;     // [N, D], or the table [V, D] where `ids` are given
  const void* ids;      // [N] int32 or int64, or null
  bool ids_are_int64;   //
  std::int64_t limit;   // V: ids are clamped below it on CUDA
  const void* padding;  // [D], or null for zeros
  void* out;            // [N, window * D]
};

// Gradient of `values`: out[m] = sum over j ascending of grad[m + c - j, j], inside the sentence. Agrees bit
// for bit on every backend.
struct GradValues {
  PackedOffsets sentences;
  int window;
  std::int64_t width;  // D
  Scalar scalar;
  const void* grad;  // [N, window * D]
  void* out;         // [N, D]
};

// Gradient of `padding`: the sum of grad[t, j] over all positions outside their sentence. Summed in blocks of
// kTokensPerBlock tokens, then over blocks in order, so threads do not change it.
struct GradPadding {
  PackedOffsets sentences;
  int window;
  std::int64_t width;
  Scalar scalar;
  const void* grad;  // [N, window * D]
  void* workspace;   // accumulators [block_count(N), D]
  void* out;         // [D]
};

// Gradient of `weight` in embedding_window: what GradValues would give each token, summed by id. `keys` are
// (id << 32 | token), sorted. A run is a stretch of equal ids inside one of the fixed blocks of kKeysPerBlock
// keys; each run sums its tokens in order, and the runs of an id are added in order, so threads change
// nothing.
struct GradWeight {
  PackedOffsets sentences;
  int window;
  std::int64_t width;
  Scalar scalar;
  const void* grad;           // [N, window * D]
  const std::uint64_t* keys;  // [N]
  std::int64_t padding_id;
  const void* padding_sum;  // accumulators [D]: what `padding` would get; null where that is nothing
  bool padding_is_apart;    // no key has padding_id: the row is written apart (where padding_sum is given)
  // Accumulators. CUDA: [key_block_count(N), 3, D]. CPU: [key_block_count(N), D], or [run_count, D] where the
  // scalar is no accumulator itself.
  void* workspace;
  std::int64_t limit;  // V
  void* out;           // [V, D], written whole; where Runs::sparse: [unique_rows, D]
};

// How the CPU finds a token's run: the caller brings the memory, grad_weight fills it.
struct Runs {
  bool sparse;         // `out` has the rows in use, in order, and not all
  std::int64_t* rows;  // [run_count] the row of `out`; ~block where the run goes on with the id before it
  std::int64_t* of_blocks;   // [key_block_count(N) + 1] the first run of each block
  std::uint32_t* of_tokens;  // [N] run << 1, with 1 for the first token of its run
};

constexpr std::int64_t kTokensPerBlock = 1024;
constexpr std::int64_t kKeysPerBlock = 256;

BIONER_HD constexpr std::int64_t block_count(std::int64_t tokens) {
  return (tokens + kTokensPerBlock - 1) / kTokensPerBlock;
}
BIONER_HD constexpr std::int64_t key_block_count(std::int64_t tokens) {
  return (tokens + kKeysPerBlock - 1) / kKeysPerBlock;
}

// The id and the token of a key.
BIONER_HD constexpr std::int64_t key_id(std::uint64_t key) { return static_cast<std::int64_t>(key >> 32); }
BIONER_HD constexpr std::int64_t key_token(std::uint64_t key) {
  return static_cast<std::int64_t>(key & 0xFFFFFFFFU);
}

// CPU. `threads` as in parallel_for.
void gather(const Gather& op, simd::Level level, int threads);
void grad_values(const GradValues& op, simd::Level level, int threads);
// `as_accumulators`: `out` is in the accumulator's type rather than the scalar's.
void grad_padding(const GradPadding& op, bool as_accumulators, simd::Level level, int threads);
void grad_weight(const GradWeight& op, const Runs& runs, simd::Level level, int threads);

// Fills `keys` [N] for GradWeight; `scratch` has room for as many. Ids must be checked: 0 <= id < limit <
// 2^31.
void sort_keys(const void* ids, bool ids_are_int64, std::int64_t tokens, std::int64_t limit,
               std::uint64_t* keys, std::uint64_t* scratch);

// Rows of a sparse gradient: distinct ids, and `padding_id` where `with_padding`. Writes them, ascending, to
// `rows` unless it is null.
std::int64_t unique_rows(const std::uint64_t* keys, std::int64_t tokens, std::int64_t padding_id,
                         bool with_padding, std::int64_t* rows);

std::int64_t run_count(const std::uint64_t* keys, std::int64_t tokens);

// CUDA, on the current device and `stream`. Each returns a cudaError_t.
namespace cuda {
int gather(const Gather& op, void* stream);
int grad_values(const GradValues& op, void* stream);
int grad_padding(const GradPadding& op, bool as_accumulators, void* stream);
int grad_weight(const GradWeight& op, void* stream);
}  // namespace cuda

}  // namespace bioner::window
