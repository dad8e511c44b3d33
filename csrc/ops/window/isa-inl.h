// Bodies of the window kernels; compiled once per SIMD level, each in a namespace of its own (BIONER_LEVEL).
// Include only headers whose functions are always inlined. Gradients sum in the order that core.h fixes, lane
// by lane, so the width of a register does not show in the result.

#include <cstring>

#include "ops/window/core.h"
#include "ops/window/isa.h"

#if BIONER_LEVEL_BYTES >= 32 && defined(__AVX2__)
#include <immintrin.h>
#define BIONER_STREAMING 1
#else
#define BIONER_STREAMING 0
#endif

#if defined(__GNUC__)
#define BIONER_PREFETCH(address) __builtin_prefetch(address)
#else
#define BIONER_PREFETCH(address) static_cast<void>(address)
#endif

namespace bioner::window::BIONER_LEVEL {
namespace {

// ---- Writers: how the bytes of a piece of the output, front to back, reach memory.

struct CopyWriter {
  char* out;

  BIONER_INLINE void append(const char* from, std::int64_t bytes) {
    memcpy(out, from, static_cast<std::size_t>(bytes));
    out += bytes;
  }
  BIONER_INLINE void zeros(std::int64_t bytes) {
    memset(out, 0, static_cast<std::size_t>(bytes));
    out += bytes;
  }
  BIONER_INLINE void finish() {}
};

#if BIONER_STREAMING
// Stores whole cache lines past the caches: the line is not read first, which halves the traffic of a large
// output.
struct StreamWriter {
  static constexpr std::int64_t kLine = 64;

  char* out;  // the next byte to write; a multiple of 64 once `pending` was flushed for the first time
  std::int64_t room;      // bytes up to the next line
  std::int64_t held = 0;  // bytes in `line`
  bool aligned;           // whether `line` will be a whole, aligned one
  alignas(64) char line[kLine];

  explicit StreamWriter(char* start) : out(start) {
    const auto misalignment = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(start) % kLine);
    aligned = misalignment == 0;
    room = aligned ? kLine : kLine - misalignment;
  }

  static BIONER_INLINE void store_line(char* to, const char* from) {
#if BIONER_LEVEL_BYTES == 64 && defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_loadu_si512(from));
#else
    const auto* source = reinterpret_cast<const __m256i*>(from);
    const __m256i low = _mm256_loadu_si256(source);
    const __m256i high = _mm256_loadu_si256(source + 1);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), low);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to) + 1, high);
#endif
  }

  BIONER_INLINE void flush_line() {
    if (aligned) {
      store_line(out, line);
    } else {
      memcpy(out, line, static_cast<std::size_t>(held));
    }
    out += held;
    aligned = true;
    room = kLine;
    held = 0;
  }

  BIONER_INLINE void append(const char* from, std::int64_t bytes) {
    if (held > 0 || !aligned) {
      const std::int64_t part = bytes < room - held ? bytes : room - held;
      memcpy(line + held, from, static_cast<std::size_t>(part));
      held += part;
      from += part;
      bytes -= part;
      if (held == room) flush_line();
    }
    while (bytes >= kLine) {
      store_line(out, from);
      out += kLine;
      from += kLine;
      bytes -= kLine;
    }
    if (bytes > 0) {
      memcpy(line + held, from, static_cast<std::size_t>(bytes));
      held += bytes;
    }
  }

  BIONER_INLINE void zeros(std::int64_t bytes) {
    alignas(64) static constexpr char kZeros[kLine] = {};
    for (; bytes > 0; bytes -= kLine) append(kZeros, bytes < kLine ? bytes : kLine);
  }

  BIONER_INLINE void finish() {
    memcpy(out, line, static_cast<std::size_t>(held));
    _mm_sfence();
  }
};
#endif

// ---- Gather

template <typename Writer>
BIONER_INLINE void append_padding(const Gather& op, Writer& writer, std::int64_t rows) {
  if (op.padding == nullptr) {
    writer.zeros(rows * op.row_bytes);
    return;
  }
  for (std::int64_t i = 0; i < rows; ++i) writer.append(static_cast<const char*>(op.padding), op.row_bytes);
}

template <typename Id, typename Writer>
BIONER_INLINE void append_lookup(const Gather& op, Writer& writer, std::int64_t begin, std::int64_t end) {
  const Id* ids = static_cast<const Id*>(op.ids);
  for (std::int64_t m = begin; m < end; ++m) {
    writer.append(static_cast<const char*>(op.rows) + static_cast<std::int64_t>(ids[m]) * op.row_bytes,
                  op.row_bytes);
  }
}

template <typename Writer>
void gather_tokens(const Gather& op, std::int64_t begin, std::int64_t end, Writer& writer) {
  const int centre = op.window / 2;
  std::int64_t b = op.sentences.sentence_of(begin);
  TokenRange sentence = op.sentences.sentence(b);
  for (std::int64_t t = begin; t < end; ++t) {
    while (t >= sentence.end) sentence = op.sentences.sentence(++b);
    const Outside padded = outside(sentence, t, op.window);
    const std::int64_t first = t - centre + padded.before;
    const std::int64_t last = t + centre - padded.after;  // inclusive
    if (padded.before > 0) append_padding(op, writer, padded.before);
    if (op.ids == nullptr) {
      writer.append(static_cast<const char*>(op.rows) + first * op.row_bytes,
                    (last - first + 1) * op.row_bytes);
    } else if (op.ids_are_int64) {
      append_lookup<std::int64_t>(op, writer, first, last + 1);
    } else {
      append_lookup<std::int32_t>(op, writer, first, last + 1);
    }
    if (padded.after > 0) append_padding(op, writer, padded.after);
  }
  writer.finish();
}

void gather(const Gather& op, std::int64_t begin, std::int64_t end, [[maybe_unused]] bool stream) {
  char* out = static_cast<char*>(op.out) + begin * op.window * op.row_bytes;
#if BIONER_STREAMING
  if (stream) {
    StreamWriter writer(out);
    gather_tokens(op, begin, end, writer);
    return;
  }
#endif
  CopyWriter writer{out};
  gather_tokens(op, begin, end, writer);
}

// ---- Gradients. `Row` functions work on [D] in pieces of kLanes elements that stay in registers.

template <typename T>
using Sum = typename ScalarTraits<T>::Accumulator;

template <typename T>
constexpr int lanes() {
  return BIONER_LEVEL_BYTES / static_cast<int>(sizeof(Sum<T>));
}

// Elements [d, d + kLanes) of the sum over the reach, kept in registers.
template <int kLanes, typename T, typename Piece>
BIONER_INLINE void sum_piece(const T* grad, Reach js, std::int64_t start, std::int64_t stride, std::int64_t d,
                             Piece piece) {
  Sum<T> sums[kLanes];
  for (int k = 0; k < kLanes; ++k) sums[k] = 0;
  for (int j = js.first; j <= js.last; ++j) {
    const T* from = grad + start + j * stride + d;
    for (int k = 0; k < kLanes; ++k) sums[k] += load_scalar(from[k]);
  }
  for (int k = 0; k < kLanes; ++k) piece(d + k, sums[k]);
}

// Calls piece(d, total) for every element of [0, width) with the sum over the reach of token m: four
// registers at a time, then one, then one element.
template <typename T, typename Piece>
BIONER_INLINE void for_sums(const T* grad, Reach js, std::int64_t m, int window, std::int64_t width,
                            Piece piece) {
  constexpr int kLanes = lanes<T>();
  const std::int64_t start = reach_start(m, window, width);
  const std::int64_t stride = reach_stride(window, width);
  std::int64_t d = 0;
  for (; d + 4 * kLanes <= width; d += 4 * kLanes) sum_piece<4 * kLanes>(grad, js, start, stride, d, piece);
  for (; d + kLanes <= width; d += kLanes) sum_piece<kLanes>(grad, js, start, stride, d, piece);
  for (; d < width; ++d) piece(d, sum_reach(grad, js, start, stride, d));
}

// Asks for what sum_piece will read of token m. Tokens come in the order of their ids, which no hardware
// foresees.
template <typename T>
BIONER_INLINE void prefetch_sums(const T* grad, Reach js, std::int64_t m, int window, std::int64_t width) {
  const std::int64_t bytes = width * static_cast<std::int64_t>(sizeof(T));
  for (int j = js.first; j <= js.last; ++j) {
    const char* line =
        reinterpret_cast<const char*>(grad + reach_start(m, window, width) + j * reach_stride(window, width));
    for (std::int64_t i = 0; i < bytes; i += 64) BIONER_PREFETCH(line + i);
  }
}

template <typename T>
void grad_values_tokens(const GradValues& op, std::int64_t begin, std::int64_t end) {
  const T* grad = static_cast<const T*>(op.grad);
  T* BIONER_RESTRICT out = static_cast<T*>(op.out);
  const std::int64_t row = op.window * op.width;
  std::int64_t b = op.sentences.sentence_of(begin);
  TokenRange sentence = op.sentences.sentence(b);
  for (std::int64_t m = begin; m < end; ++m) {
    while (m >= sentence.end) sentence = op.sentences.sentence(++b);
    // The row that enters the reach next: the pieces of it that are read are too far apart for the hardware
    // to guess.
    const std::int64_t ahead = m + op.window / 2 + 1;
    if (ahead < op.sentences.tokens) {
      const char* line = reinterpret_cast<const char*>(grad + ahead * row);
      const std::int64_t bytes = row * static_cast<std::int64_t>(sizeof(T));
      for (std::int64_t i = 0; i < bytes; i += 64) BIONER_PREFETCH(line + i);
    }
    T* BIONER_RESTRICT to = out + m * op.width;
    for_sums(grad, reach(sentence, m, op.window), m, op.window, op.width,
             [to](std::int64_t d, Sum<T> sum) { to[d] = ScalarTraits<T>::store(sum); });
  }
}

template <typename T>
void add_row(Sum<T>* BIONER_RESTRICT to, const T* BIONER_RESTRICT from, std::int64_t width) {
  for (std::int64_t d = 0; d < width; ++d) to[d] += load_scalar(from[d]);
}

template <typename T>
void grad_padding_blocks(const GradPadding& op, std::int64_t begin, std::int64_t end) {
  const T* grad = static_cast<const T*>(op.grad);
  for (std::int64_t block = begin; block < end; ++block) {
    Sum<T>* BIONER_RESTRICT sums = static_cast<Sum<T>*>(op.workspace) + block * op.width;
    for (std::int64_t d = 0; d < op.width; ++d) sums[d] = 0;
    const std::int64_t first = block * kTokensPerBlock;
    const std::int64_t last =
        first + kTokensPerBlock < op.sentences.tokens ? first + kTokensPerBlock : op.sentences.tokens;
    std::int64_t b = op.sentences.sentence_of(first);
    TokenRange sentence = op.sentences.sentence(b);
    for (std::int64_t t = first; t < last; ++t) {
      while (t >= sentence.end) sentence = op.sentences.sentence(++b);
      const Outside padded = outside(sentence, t, op.window);
      const T* row = grad + t * op.window * op.width;
      for (int j = 0; j < padded.before; ++j) add_row(sums, row + j * op.width, op.width);
      for (int j = op.window - padded.after; j < op.window; ++j) add_row(sums, row + j * op.width, op.width);
    }
  }
}

// Whether sums can be made in the output itself.
template <typename T>
constexpr bool is_accumulator() {
  return sizeof(T) == sizeof(Sum<T>);
}

// Where run `r` is summed: in its row of the output, if it is the first of its id and the type allows it.
template <typename T>
BIONER_INLINE Sum<T>* run_sums(const GradWeight& op, const Runs& runs, std::int64_t r) {
  if constexpr (is_accumulator<T>()) {
    const std::int64_t row = runs.rows[r];
    return row >= 0 ? static_cast<Sum<T>*>(op.out) + row * op.width
                    : static_cast<Sum<T>*>(op.workspace) + ~row * op.width;
  } else {
    return static_cast<Sum<T>*>(op.workspace) + r * op.width;
  }
}

// A token whose part of `grad` is on its way from memory.
struct Awaited {
  std::int64_t token;
  std::uint32_t place;
  Reach reach;
};

template <typename T>
BIONER_INLINE void add_awaited(const GradWeight& op, const Runs& runs, const Awaited& next) {
  Sum<T>* BIONER_RESTRICT to = run_sums<T>(op, runs, next.place >> 1);
  const T* grad = static_cast<const T*>(op.grad);
  if ((next.place & 1) != 0) {
    for_sums(grad, next.reach, next.token, op.window, op.width,
             [to](std::int64_t d, Sum<T> sum) { to[d] = sum; });
  } else {
    for_sums(grad, next.reach, next.token, op.window, op.width,
             [to](std::int64_t d, Sum<T> sum) { to[d] += sum; });
  }
}

// Goes through the tokens as they lie in memory and takes those of its own runs: `grad` is large and read
// once, nearly in order; the sums are small. By id, every read would be a surprise.
template <typename T>
void sum_runs_of(const GradWeight& op, const Runs& runs, std::int64_t first, std::int64_t last) {
  constexpr std::int64_t kAhead = 2;
  const T* grad = static_cast<const T*>(op.grad);
  const auto low = static_cast<std::uint32_t>(first);
  const auto mine = static_cast<std::uint32_t>(last - first);
  Awaited awaited[kAhead];
  std::int64_t found = 0;
  for (std::int64_t b = 0; b < op.sentences.batch; ++b) {
    const TokenRange sentence = op.sentences.sentence(b);
    for (std::int64_t m = sentence.begin; m < sentence.end; ++m) {
      const std::uint32_t place = runs.of_tokens[m];
      if ((place >> 1) - low >= mine) continue;
      const Reach js = reach(sentence, m, op.window);
      prefetch_sums(grad, js, m, op.window, op.width);
      Awaited& slot = awaited[found % kAhead];
      if (found >= kAhead) add_awaited<T>(op, runs, slot);
      slot = {m, place, js};
      ++found;
    }
  }
  for (std::int64_t i = found < kAhead ? 0 : found - kAhead; i < found; ++i) {
    add_awaited<T>(op, runs, awaited[i % kAhead]);
  }
}

template <typename T>
void write_rows_of(const GradWeight& op, const Runs& runs, std::int64_t count, std::int64_t padding_row,
                   std::int64_t first, std::int64_t last) {
  const std::int64_t width = op.width;
  for (std::int64_t r = first; r < last; ++r) {
    const std::int64_t row = runs.rows[r];
    if (row < 0) continue;  // added where the id's first run is
    Sum<T>* BIONER_RESTRICT sums = run_sums<T>(op, runs, r);
    for (std::int64_t next = r + 1; next < count && runs.rows[next] < 0; ++next) {
      add_row<Sum<T>>(sums, run_sums<T>(op, runs, next), width);
    }
    if (row == padding_row) add_row<Sum<T>>(sums, static_cast<const Sum<T>*>(op.padding_sum), width);
    if constexpr (!is_accumulator<T>()) {
      T* BIONER_RESTRICT to = static_cast<T*>(op.out) + row * width;
      for (std::int64_t d = 0; d < width; ++d) to[d] = ScalarTraits<T>::store(sums[d]);
    }
  }
}

// ---- Choice of the element type

#define BIONER_BY_SCALAR(function, ...)       \
  switch (op.scalar) {                        \
    case Scalar::kFloat16:                    \
      return function<Float16>(__VA_ARGS__);  \
    case Scalar::kBFloat16:                   \
      return function<BFloat16>(__VA_ARGS__); \
    case Scalar::kFloat32:                    \
      return function<float>(__VA_ARGS__);    \
    case Scalar::kFloat64:                    \
      return function<double>(__VA_ARGS__);   \
  }

void grad_values(const GradValues& op, std::int64_t begin, std::int64_t end) {
  BIONER_BY_SCALAR(grad_values_tokens, op, begin, end)
}

void grad_padding(const GradPadding& op, std::int64_t begin, std::int64_t end) {
  BIONER_BY_SCALAR(grad_padding_blocks, op, begin, end)
}

void sum_runs(const GradWeight& op, const Runs& runs, std::int64_t first, std::int64_t last) {
  BIONER_BY_SCALAR(sum_runs_of, op, runs, first, last)
}

void write_rows(const GradWeight& op, const Runs& runs, std::int64_t count, std::int64_t padding_row,
                std::int64_t first, std::int64_t last) {
  BIONER_BY_SCALAR(write_rows_of, op, runs, count, padding_row, first, last)
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {gather, grad_values, grad_padding, sum_runs, write_rows};

}  // namespace bioner::window::BIONER_LEVEL
