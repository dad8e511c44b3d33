// Threads around the window kernels, and what is too small to need more than portable code.
#include <algorithm>
#include <cstring>

#include "base/runtime/buffers.h"
#include "base/runtime/memory.h"
#include "base/runtime/thread_pool.h"
#include "ops/window/core.h"
#include "ops/window/isa.h"

namespace bioner::window {

BIONER_DEFINE_KERNELS_FOR

namespace {

// Outputs from here on are written past the caches: they would not stay there until somebody reads them.
constexpr std::int64_t kStreamBytes = std::int64_t{64} << 20;
// A piece of work below this many bytes is not worth waking a thread for.
constexpr std::int64_t kGrainBytes = std::int64_t{128} << 10;

std::int64_t grain_tokens(std::int64_t bytes_per_token) {
  return std::max<std::int64_t>(1, kGrainBytes / std::max<std::int64_t>(1, bytes_per_token));
}

// For an output of so many bytes.
Workers workers_for(std::int64_t bytes) { return bytes < kRecycledBytes ? Workers::kTorchs : Workers::kOwn; }

template <typename T>
using Sum = typename ScalarTraits<T>::Accumulator;

template <typename T>
void combine_padding(const GradPadding& op, bool as_accumulators) {
  const auto* blocks = static_cast<const Sum<T>*>(op.workspace);
  const std::int64_t count = block_count(op.sentences.tokens);
  for (std::int64_t d = 0; d < op.width; ++d) {
    Sum<T> sum = 0;
    for (std::int64_t block = 0; block < count; ++block) sum += blocks[block * op.width + d];
    if (as_accumulators) {
      static_cast<Sum<T>*>(op.out)[d] = sum;
    } else {
      static_cast<T*>(op.out)[d] = ScalarTraits<T>::store(sum);
    }
  }
}

// The row of a dense gradient for padding that no token has; it is in no run.
template <typename T>
void write_padding_row(const GradWeight& op, std::int64_t row) {
  const auto* sums = static_cast<const Sum<T>*>(op.padding_sum);
  T* to = static_cast<T*>(op.out) + row * op.width;
  for (std::int64_t d = 0; d < op.width; ++d) to[d] = ScalarTraits<T>::store(sums[d]);
}

// Fills `runs`. Returns how many there are, and sets `padding_row` to the row that padding adds to.
std::int64_t find_runs(const GradWeight& op, const Runs& runs, std::int64_t* padding_row) {
  const std::int64_t tokens = op.sentences.tokens;
  const bool padding_is_apart = op.padding_sum != nullptr && op.padding_is_apart;
  std::int64_t count = 0;
  std::int64_t rank = 0;
  std::int64_t before = -1;
  bool padding_due = padding_is_apart;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t id = key_id(op.keys[i]);
    const bool opens_block = i % kKeysPerBlock == 0;
    if (opens_block) runs.of_blocks[i / kKeysPerBlock] = count;
    const bool opens_row = id != before;
    if (opens_row && padding_due && id > op.padding_id) {
      padding_due = false;
      *padding_row = rank++;
    }
    if (opens_row) {
      runs.rows[count] = runs.sparse ? rank++ : id;
      if (id == op.padding_id && op.padding_sum != nullptr) *padding_row = runs.rows[count];
    } else if (opens_block) {
      runs.rows[count] = ~(i / kKeysPerBlock);
    }
    const bool opens_run = opens_row || opens_block;
    count += opens_run;
    before = id;
    runs.of_tokens[key_token(op.keys[i])] =
        static_cast<std::uint32_t>(count - 1) << 1 | static_cast<std::uint32_t>(opens_run);
  }
  runs.of_blocks[key_block_count(tokens)] = count;
  if (padding_due) *padding_row = rank;
  if (padding_is_apart && !runs.sparse) *padding_row = op.padding_id;
  return count;
}

// Rows [begin, end) of a dense gradient that no token has become zero.
void zero_unused_rows(const GradWeight& op, std::int64_t row_bytes, std::int64_t begin, std::int64_t end) {
  const std::uint64_t* last = op.keys + op.sentences.tokens;
  const std::uint64_t* next = std::lower_bound(op.keys, last, static_cast<std::uint64_t>(begin) << 32);
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t used = next == last ? end : std::min(end, key_id(*next));
    memset(static_cast<char*>(op.out) + row * row_bytes, 0,
           static_cast<std::size_t>((used - row) * row_bytes));
    row = used;
    while (next != last && key_id(*next) == row) ++next;
  }
}

template <typename Id>
void fill_keys(const Id* ids, std::int64_t tokens, std::uint64_t* keys) {
  for (std::int64_t i = 0; i < tokens; ++i) {
    keys[i] = static_cast<std::uint64_t>(ids[i]) << 32 | static_cast<std::uint64_t>(i);
  }
}

}  // namespace

void gather(const Gather& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  const std::int64_t bytes = op.window * op.row_bytes;
  const bool stream = op.sentences.tokens * bytes >= kStreamBytes;
  expect_large_write(op.out, op.sentences.tokens * bytes);
  parallel_for(
      op.sentences.tokens, grain_tokens(bytes), threads,
      [&](std::int64_t begin, std::int64_t end) { kernels.gather(op, begin, end, stream); },
      workers_for(op.sentences.tokens * bytes));
}

void grad_values(const GradValues& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  const std::int64_t row_bytes = op.width * scalar_bytes(op.scalar);
  expect_large_write(op.out, op.sentences.tokens * row_bytes);
  parallel_for(
      op.sentences.tokens, grain_tokens(op.window * row_bytes), threads,
      [&](std::int64_t begin, std::int64_t end) { kernels.grad_values(op, begin, end); },
      workers_for(op.sentences.tokens * row_bytes));
}

void grad_padding(const GradPadding& op, bool as_accumulators, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  parallel_for(block_count(op.sentences.tokens), 1, threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.grad_padding(op, begin, end); });
  switch (op.scalar) {
    case Scalar::kFloat16:
      return combine_padding<Float16>(op, as_accumulators);
    case Scalar::kBFloat16:
      return combine_padding<BFloat16>(op, as_accumulators);
    case Scalar::kFloat32:
      return combine_padding<float>(op, as_accumulators);
    case Scalar::kFloat64:
      return combine_padding<double>(op, as_accumulators);
  }
}

void grad_weight(const GradWeight& op, const Runs& runs, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  const std::int64_t row_bytes = op.width * scalar_bytes(op.scalar);
  const Workers workers = workers_for((runs.sparse ? op.sentences.tokens : op.limit) * row_bytes);
  if (!runs.sparse) {
    expect_large_write(op.out, op.limit * row_bytes);
    parallel_for(
        op.limit, grain_tokens(row_bytes), threads,
        [&](std::int64_t begin, std::int64_t end) { zero_unused_rows(op, row_bytes, begin, end); }, workers);
  }
  std::int64_t padding_row = -1;
  const std::int64_t count = find_runs(op, runs, &padding_row);
  const std::int64_t blocks = key_block_count(op.sentences.tokens);
  // A piece a thread: every piece goes through all tokens.
  const std::int64_t most = threads > 0 ? threads : hardware_threads();
  parallel_for(
      blocks, std::max<std::int64_t>(1, blocks / most), threads,
      [&](std::int64_t begin, std::int64_t end) {
        kernels.sum_runs(op, runs, runs.of_blocks[begin], runs.of_blocks[end]);
      },
      workers);
  parallel_for(
      count, grain_tokens(row_bytes), threads,
      [&](std::int64_t begin, std::int64_t end) {
        kernels.write_rows(op, runs, count, padding_row, begin, end);
      },
      workers);
  if (op.padding_sum == nullptr || !op.padding_is_apart) return;
  switch (op.scalar) {
    case Scalar::kFloat16:
      return write_padding_row<Float16>(op, padding_row);
    case Scalar::kBFloat16:
      return write_padding_row<BFloat16>(op, padding_row);
    case Scalar::kFloat32:
      return write_padding_row<float>(op, padding_row);
    case Scalar::kFloat64:
      return write_padding_row<double>(op, padding_row);
  }
}

std::int64_t run_count(const std::uint64_t* keys, std::int64_t tokens) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < tokens; ++i) {
    count += i % kKeysPerBlock == 0 || key_id(keys[i]) != key_id(keys[i - 1]);
  }
  return count;
}

// Radix sort by id, lowest digit first; it is stable, so tokens stay in order within an id.
void sort_keys(const void* ids, bool ids_are_int64, std::int64_t tokens, std::int64_t limit,
               std::uint64_t* keys, std::uint64_t* scratch) {
  constexpr int kBits = 11;
  constexpr std::size_t kBuckets = std::size_t{1} << kBits;
  if (ids_are_int64) {
    fill_keys(static_cast<const std::int64_t*>(ids), tokens, keys);
  } else {
    fill_keys(static_cast<const std::int32_t*>(ids), tokens, keys);
  }
  std::uint64_t* from = keys;
  std::uint64_t* to = scratch;
  for (int shift = 32; shift < 64 && ((limit - 1) >> (shift - 32)) > 0; shift += kBits) {
    std::int64_t starts[kBuckets] = {};
    for (std::int64_t i = 0; i < tokens; ++i) ++starts[(from[i] >> shift) & (kBuckets - 1)];
    std::int64_t sum = 0;
    for (std::int64_t& start : starts) {
      const std::int64_t count = start;
      start = sum;
      sum += count;
    }
    for (std::int64_t i = 0; i < tokens; ++i) to[starts[(from[i] >> shift) & (kBuckets - 1)]++] = from[i];
    std::swap(from, to);
  }
  if (from != keys) std::copy(from, from + tokens, keys);
}

std::int64_t unique_rows(const std::uint64_t* keys, std::int64_t tokens, std::int64_t padding_id,
                         bool with_padding, std::int64_t* rows) {
  std::int64_t count = 0;
  const auto add = [&](std::int64_t id) {
    if (rows != nullptr) rows[count] = id;
    ++count;
  };
  bool padding_due = with_padding;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t id = key_id(keys[i]);
    if (i > 0 && id == key_id(keys[i - 1])) continue;
    if (padding_due && id >= padding_id) {
      if (id > padding_id) add(padding_id);
      padding_due = false;
    }
    add(id);
  }
  if (padding_due) add(padding_id);
  return count;
}

}  // namespace bioner::window
