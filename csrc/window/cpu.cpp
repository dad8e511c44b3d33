// Threads around the window kernels, and what is too small to need more than portable code.
#include <algorithm>
#include <cstring>

#include "runtime/memory.h"
#include "runtime/thread_pool.h"
#include "window/core.h"
#include "window/isa.h"

namespace bioner::window {
namespace {

// Outputs from here on are written past the caches: they would not stay there until somebody reads them.
constexpr std::int64_t kStreamBytes = std::int64_t{64} << 20;
// A piece of work below this many bytes is not worth waking a thread for.
constexpr std::int64_t kGrainBytes = std::int64_t{128} << 10;

const Kernels& kernels_for(simd::Level level) {
  switch (level) {
#if defined(BIONER_X86_LEVELS)
    case simd::Level::kAvx2:
      return avx2::kernels;
    case simd::Level::kAvx512:
      return avx512::kernels;
#if defined(BIONER_TEST_LEVELS)
    case simd::Level::kWide:
      return wide::kernels;
#endif
#endif
#if defined(BIONER_ARM_LEVELS)
    case simd::Level::kNeon:
      return neon::kernels;
#endif
    default:
      return scalar::kernels;
  }
}

std::int64_t grain_tokens(std::int64_t bytes_per_token) {
  return std::max<std::int64_t>(1, kGrainBytes / std::max<std::int64_t>(1, bytes_per_token));
}

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

std::int64_t key_id(std::uint64_t key) { return static_cast<std::int64_t>(key >> 32); }

// Adds up the runs that grad_weight_blocks left in parts, and writes the row that only padding reaches.
template <typename T>
void combine_weight(const GradWeight& op) {
  const std::int64_t tokens = op.sentences.tokens;
  const std::int64_t width = op.width;
  const std::int64_t blocks = key_block_count(tokens);
  const auto* padding_sum = static_cast<const Sum<T>*>(op.padding_sum);
  auto* parts = static_cast<Sum<T>*>(op.workspace);
  std::int64_t block = 0;
  while (block + 1 < blocks) {
    const std::int64_t last = (block + 1) * kKeysPerBlock - 1;
    const std::int64_t id = key_id(op.keys[last]);
    if (key_id(op.keys[last + 1]) != id) {
      ++block;
      continue;
    }
    Sum<T>* sums = parts + (block * 3 + 1) * width;
    // The rank of the run: that of the block's first run, and one for each change of id behind it.
    std::int64_t rank = 0;
    if (op.sparse) {
      rank = op.slots[block];
      for (std::int64_t i = block * kKeysPerBlock + 1; i <= last; ++i)
        rank += key_id(op.keys[i]) != key_id(op.keys[i - 1]);
    }
    do {
      ++block;
      const Sum<T>* more = parts + block * 3 * width;
      for (std::int64_t d = 0; d < width; ++d) sums[d] += more[d];
    } while (block + 1 < blocks && key_id(op.keys[(block + 1) * kKeysPerBlock - 1]) == id &&
             key_id(op.keys[(block + 1) * kKeysPerBlock]) == id);
    const bool has_padding = padding_sum != nullptr && id == op.padding_id;
    T* to = static_cast<T*>(op.out) + weight_row(op, id, rank) * width;
    for (std::int64_t d = 0; d < width; ++d) {
      to[d] = ScalarTraits<T>::store(has_padding ? sums[d] + padding_sum[d] : sums[d]);
    }
  }
  if (padding_sum != nullptr && op.padding_is_apart) {
    std::int64_t row = op.padding_id;
    if (op.sparse) {
      row = unique_rows(
          op.keys,
          std::lower_bound(op.keys, op.keys + tokens, static_cast<std::uint64_t>(op.padding_id) << 32) -
              op.keys,
          0, false, nullptr);
    }
    T* to = static_cast<T*>(op.out) + row * width;
    for (std::int64_t d = 0; d < width; ++d) to[d] = ScalarTraits<T>::store(padding_sum[d]);
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
  parallel_for(op.sentences.tokens, grain_tokens(bytes), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.gather(op, begin, end, stream); });
}

void grad_values(const GradValues& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  expect_large_write(op.out, op.sentences.tokens * op.width * scalar_bytes(op.scalar));
  parallel_for(op.sentences.tokens, grain_tokens(op.window * op.width * scalar_bytes(op.scalar)), threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.grad_values(op, begin, end); });
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

void grad_weight(const GradWeight& op, simd::Level level, int threads) {
  const Kernels& kernels = kernels_for(level);
  const std::int64_t tokens = op.sentences.tokens;
  const std::int64_t row_bytes = op.width * scalar_bytes(op.scalar);
  if (!op.sparse) {
    expect_large_write(op.out, op.limit * row_bytes);
    parallel_for(op.limit, grain_tokens(row_bytes), threads, [&](std::int64_t begin, std::int64_t end) {
      memset(static_cast<char*>(op.out) + begin * row_bytes, 0,
             static_cast<std::size_t>((end - begin) * row_bytes));
    });
  } else {
    std::int64_t rank = 0;
    for (std::int64_t i = 0; i < tokens; ++i) {
      if (i > 0 && key_id(op.keys[i]) != key_id(op.keys[i - 1])) ++rank;
      if (i % kKeysPerBlock == 0) op.slots[i / kKeysPerBlock] = rank;
    }
  }
  parallel_for(key_block_count(tokens), 1, threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.grad_weight(op, begin, end); });
  switch (op.scalar) {
    case Scalar::kFloat16:
      return combine_weight<Float16>(op);
    case Scalar::kBFloat16:
      return combine_weight<BFloat16>(op);
    case Scalar::kFloat32:
      return combine_weight<float>(op);
    case Scalar::kFloat64:
      return combine_weight<double>(op);
  }
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
