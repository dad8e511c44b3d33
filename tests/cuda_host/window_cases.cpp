// Windows: gathered rows and gradients are those of the CPU and of slow references, bit for bit.
#include "cases.h"
#include "ops/window/core.h"
#include "ops/window/window.h"

namespace cases {
namespace {

namespace window = bioner::window;
using bioner::PackedOffsets;
using bioner::Scalar;
constexpr auto kLevel = bioner::simd::Level::kScalar;

template <typename T>
constexpr Scalar kScalar = std::is_same_v<T, double>     ? Scalar::kFloat64
                           : std::is_same_v<T, float>    ? Scalar::kFloat32
                           : std::is_same_v<T, BFloat16> ? Scalar::kBFloat16
                                                         : Scalar::kFloat16;

// Bases may lie anywhere: rows are then copied in smaller words.
template <typename T>
Array<T> misaligned(Index size) {
  return Array<T>(size, coin() ? 0 : below(16));
}

template <typename T>
void fill_window(Array<T>* array, bool special) {
  std::normal_distribution<double> normal;
  for (Index i = 0; i < array->size(); ++i) {
    double value = normal(randomness);
    if (special && below(20) == 0) value = coin() ? std::nan("") : (coin() ? kInfinity : -kInfinity);
    if (special && below(40) == 0) value = -std::nan("");
    if (below(10) == 0) value = coin() ? 0.0 : -0.0;
    if (below(30) == 0) value *= 1e-7;  // subnormal halves
    (*array)[i] = make_scalar<T>(value);
  }
}

template <typename T, typename Id>
struct Input {
  using Sum = typename ScalarTraits<T>::Accumulator;
  static constexpr bool kOwnSums = std::is_same_v<Sum, T>;

  bool bad;
  int size;     // of the window
  Index width;  // of a row
  Array<Index> offsets;
  Index tokens, rows;
  Array<T> values, padding, table, grad;
  Array<Id> ids;
  Index padding_id;
  bool has_padding = below(3) != 0;

  static int any_window() {
    static const int sizes[] = {1, 3, 5, 7, 9, 13, 33, 101};
    return sizes[below(8)];
  }
  static Index any_width(int window, bool many) {
    static const Index widths[] = {1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 24, 31, 32, 33, 50, 64, 100, 257};
    const Index width = widths[below(18)];
    return std::min<Index>(width, many ? 4 : (window > 13 ? 6 : 257));
  }

  Input(bool bad_, bool many)
      : bad(bad_),
        size(any_window()),
        width(any_width(size, many)),
        offsets(make_offsets(many ? 1500 : (width > 40 ? 60 : 150))),
        tokens(offsets[offsets.size() - 1]),
        rows(1 + below(below(3) == 0 ? 3 : 60)),
        values(misaligned<T>(tokens * width)),
        padding(misaligned<T>(width)),
        table(misaligned<T>(rows * width)),
        grad(misaligned<T>(tokens * size * width)),
        ids(tokens),
        padding_id(coin() ? 0 : below(rows)) {
    const bool special = below(4) == 0;
    for (Array<T>* array : {&values, &padding, &table, &grad}) fill_window(array, special);
    const bool without_first = coin() && rows > 1;
    for (Index t = 0; t < tokens; ++t) {
      ids[t] =
          static_cast<Id>(below(3) == 0 ? rows - 1 : (without_first ? 1 + below(rows - 1) : below(rows)));
    }
    if (bad) {
      spoil(&offsets, tokens);
      for (Index t = 0; t < tokens; ++t) {
        if (below(5) == 0) ids[t] = static_cast<Id>(randomness());
      }
    }
    context = "window " + std::to_string(size) + ", scalar " + std::to_string(static_cast<int>(kScalar<T>)) +
              ", width " + std::to_string(width) + ", " + std::to_string(tokens) + " tokens, " +
              std::to_string(rows) + " rows" + (bad ? ", bad contents" : "");
  }

  PackedOffsets sentences() const { return {offsets.data(), offsets.size() - 1, tokens}; }

  // Whether token m may be seen from token t.
  bool together(Index t, Index m) const {
    if (m < 0 || m >= tokens) return false;
    const Index* const first = offsets.data();
    const Index* const last = first + offsets.size();
    return std::upper_bound(first, last, t) == std::upper_bound(first, last, m);
  }
};

template <typename T, typename Id>
void gather(const Input<T, Id>& in, bool looked_up) {
  Array<T> want(in.tokens * in.size * in.width), cpu(want.size()), found = misaligned<T>(want.size());
  const T* const padding =
      looked_up ? in.table.data() + in.padding_id * in.width : (in.has_padding ? in.padding.data() : nullptr);
  window::Gather op{in.sentences(),
                    in.size,
                    in.width * static_cast<Index>(sizeof(T)),
                    looked_up ? in.table.data() : in.values.data(),
                    looked_up ? in.ids.data() : nullptr,
                    sizeof(Id) == 8,
                    looked_up ? in.rows : in.tokens,
                    padding,
                    nullptr};
  if (!in.bad) {
    const T zero = make_scalar<T>(0.0);
    Index at = 0;
    for (Index t = 0; t < in.tokens; ++t) {
      for (Index m = t - in.size / 2; m <= t + in.size / 2; ++m) {
        const T* row = padding;
        if (in.together(t, m)) {
          row = looked_up ? in.table.data() + static_cast<Index>(in.ids[m]) * in.width
                          : in.values.data() + m * in.width;
        }
        for (Index d = 0; d < in.width; ++d) want[at++] = row != nullptr ? row[d] : zero;
      }
    }
    op.out = cpu.data();
    window::gather(op, kLevel, 1);
    if (!want.same_bits(cpu)) fail("the CPU's gather is not the reference");
  }
  for (int turn = 0; turn < orders; ++turn) {
    set_order(turn);
    found.poison();
    op.out = found.data();
    if (window::cuda::gather(op, stream()) != 0) fail("launch");
    if (!in.bad && !want.same_bits(found)) fail(looked_up ? "look-up" : "gather");
  }
}

template <typename T, typename Id>
void grad_values(const Input<T, Id>& in) {
  using Sum = typename ScalarTraits<T>::Accumulator;
  Array<T> want(in.tokens * in.width), cpu(want.size()), found = misaligned<T>(want.size());
  window::GradValues op{in.sentences(), in.size, in.width, kScalar<T>, in.grad.data(), cpu.data()};
  if (!in.bad) {
    for (Index m = 0; m < in.tokens; ++m) {
      for (Index d = 0; d < in.width; ++d) {
        Sum sum = 0;
        for (int j = 0; j < in.size; ++j) {
          const Index t = m + in.size / 2 - j;
          if (in.together(m, t)) sum += load_scalar(in.grad[(t * in.size + j) * in.width + d]);
        }
        want[m * in.width + d] = ScalarTraits<T>::store(sum);
      }
    }
    window::grad_values(op, kLevel, 1);
    if (!same_values(want, cpu)) fail("the CPU's gradient of values is not the reference");
  }
  set_order(0);
  op.out = found.data();
  if (window::cuda::grad_values(op, stream()) != 0) fail("launch");
  // Halves have one NaN; which NaN a sum of floats is, the processor decides.
  const bool same = Input<T, Id>::kOwnSums ? same_values(want, found) : want.same_bits(found);
  if (!in.bad && !same) fail("gradient of values");
}

// Returns the sums, as gradients of look-ups take them.
template <typename T, typename Id>
auto grad_padding(const Input<T, Id>& in) {
  using Sum = typename ScalarTraits<T>::Accumulator;
  const Index blocks = window::block_count(in.tokens);
  Array<Sum> cpu_work(blocks * in.width), work(blocks * in.width), cpu_sums(in.width), sums(in.width);
  Array<T> cpu(in.width), found(in.width);
  for (const bool as_sums : {false, true}) {
    window::GradPadding op{in.sentences(),
                           in.size,
                           in.width,
                           kScalar<T>,
                           in.grad.data(),
                           cpu_work.data(),
                           as_sums ? static_cast<void*>(cpu_sums.data()) : cpu.data()};
    if (!in.bad) window::grad_padding(op, as_sums, kLevel, 1);
    op.workspace = work.data();
    op.out = as_sums ? static_cast<void*>(sums.data()) : found.data();
    set_order(0);
    if (window::cuda::grad_padding(op, as_sums, stream()) != 0) fail("launch");
  }
  if (!in.bad && !(same_values(cpu, found) && same_values(cpu_sums, sums))) fail("gradient of padding");
  return sums;
}

template <typename T, typename Id>
void grad_weight(const Input<T, Id>& in, const Array<typename ScalarTraits<T>::Accumulator>& padding_sums) {
  using Sum = typename ScalarTraits<T>::Accumulator;
  constexpr bool kOwnSums = Input<T, Id>::kOwnSums;
  Array<std::uint64_t> keys(in.tokens), scratch(in.tokens);
  Array<Id> clamped(in.tokens);
  bool found_padding = false;
  for (Index t = 0; t < in.tokens; ++t) {
    clamped[t] = static_cast<Id>(std::clamp<Index>(static_cast<Index>(in.ids[t]), 0, in.rows - 1));
    found_padding |= static_cast<Index>(clamped[t]) == in.padding_id;
  }
  window::sort_keys(clamped.data(), sizeof(Id) == 8, in.tokens, in.rows, keys.data(), scratch.data());
  const bool has_sum = in.size > 1 && in.tokens > 0;
  const Index blocks = window::key_block_count(in.tokens);
  const Index runs = window::run_count(keys.data(), in.tokens);
  Array<T> cpu(in.rows * in.width), found(in.rows * in.width), twice(in.rows * in.width);
  window::GradWeight op{in.sentences(), in.size,     in.width,      kScalar<T>,
                        in.grad.data(), keys.data(), in.padding_id, has_sum ? padding_sums.data() : nullptr,
                        !found_padding, nullptr,     in.rows,       cpu.data()};
  if (!in.bad) {
    Array<Sum> work((kOwnSums ? blocks : runs) * in.width);
    Array<Index> run_rows(runs), run_blocks(blocks + 1);
    Array<std::uint32_t> run_tokens(in.tokens);
    op.workspace = work.data();
    window::grad_weight(op, {false, run_rows.data(), run_blocks.data(), run_tokens.data()}, kLevel, 1);
  }
  op.padding_is_apart = true;
  op.out = found.data();
  for (int turn = 0; turn < orders; ++turn) {
    set_order(turn);
    Array<Sum> work(blocks * 3 * in.width);
    op.workspace = work.data();
    found.poison();
    if (window::cuda::grad_weight(op, stream()) != 0) fail("launch");
    if (!in.bad && !same_values(cpu, found)) fail("gradient of weight");
  }
  if constexpr (kOwnSums) {  // in two passes, as ops/window.py does
    if (!has_sum) return;
    Array<T> values(in.tokens * in.width);
    Array<Sum> work(blocks * 3 * in.width);
    const window::GradValues first{in.sentences(), in.size,        in.width,
                                   kScalar<T>,     in.grad.data(), values.data()};
    window::GradWeight second = op;
    second.window = 1;
    second.grad = values.data();
    second.workspace = work.data();
    second.out = twice.data();
    if (window::cuda::grad_values(first, stream()) != 0) fail("launch");
    if (window::cuda::grad_weight(second, stream()) != 0) fail("launch");
    if (!in.bad && !same_values(found, twice)) fail("gradient of weight in two passes");
  }
}

template <typename T, typename Id>
void one(bool bad, bool many = false) {
  const Input<T, Id> in(bad, many);
  if (in.tokens > 0) {
    gather(in, false);
    gather(in, true);
    grad_values(in);
  }
  grad_weight(in, grad_padding(in));
  ++count;
}

}  // namespace

void window(Index number) {
  one<float, std::int32_t>(false, number % 4 == 0);
  one<double, Index>(false, number % 4 == 1);
  one<Float16, Index>(false, number % 4 == 2);
  one<BFloat16, std::int32_t>(false, number % 4 == 3);
}

void bad_window() {
  one<float, Index>(true);
  one<BFloat16, std::int32_t>(true);
  one<Float16, Index>(true);
  one<double, Index>(true);
}

// The last tokens of tensors of more than 2^32 elements, beside those tokens alone.
void huge_window() {
  for (const Index width : {Index{50}, Index{33}}) {
    constexpr int kWindow = 7;
    constexpr Index kLength = 200;
    const Index tokens = (Index{5} << 30) / (kWindow * width);
    const Index first = tokens - kLength;
    const Index rows = (Index{5} << 30) / width;
    context = "windows, more than 2^32 elements, width " + std::to_string(width);
    Array<Index> offsets(3), alone(3);
    offsets[0] = alone[0] = alone[1] = 0;
    offsets[1] = first;
    offsets[2] = tokens;
    alone[2] = kLength;
    const PackedOffsets whole{offsets.data(), 2, tokens};
    const PackedOffsets part{alone.data(), 2, kLength};
    Array<float> grad(kLength * kWindow * width), values(kLength * width);
    fill(&grad, Kind::kNormal);
    fill(&values, Kind::kNormal);
    Huge<float> all_grad(tokens * kWindow * width), all_out(tokens * kWindow * width),
        all_values(tokens * width), all_sums(tokens * width), table(rows * width);
    Huge<Index> ids(tokens);
    std::copy_n(grad.data(), grad.size(), all_grad.data() + first * kWindow * width);
    std::copy_n(values.data(), values.size(), all_values.data() + first * width);
    for (Index i = 0; i < kLength; ++i) {
      ids.data()[first + i] = rows - 1 - i;
      std::copy_n(values.data() + i * width, width, table.data() + (rows - 1 - i) * width);
    }
    // From tokens far before the last ones on.
    const auto late = [&](Index tokens_of_a_block, const auto& work) {
      cuda_host::settings.first_block = static_cast<unsigned>(first / tokens_of_a_block);
      if (work() != 0) fail("launch");
      cuda_host::settings.first_block = 0;
    };
    set_order(0);
    Array<float> want(grad.size()), want_sums(values.size());
    const Index bytes = width * 4;
    if (window::cuda::gather(
            {part, kWindow, bytes, values.data(), nullptr, false, kLength, nullptr, want.data()}, stream()) !=
        0) {
      fail("launch");
    }
    late(64, [&] {
      return window::cuda::gather(
          {whole, kWindow, bytes, all_values.data(), nullptr, false, tokens, nullptr, all_out.data()},
          stream());
    });
    float* const out = all_out.data() + first * kWindow * width;
    if (std::memcmp(want.data(), out, want.bytes()) != 0) fail("gather");
    std::memset(out, 0xFF, want.bytes());
    late(64, [&] {
      return window::cuda::gather(
          {whole, kWindow, bytes, table.data(), ids.data(), true, rows, table.data(), all_out.data()},
          stream());
    });
    if (std::memcmp(want.data(), out, want.bytes()) != 0) fail("look-up");
    if (window::cuda::grad_values({part, kWindow, width, Scalar::kFloat32, grad.data(), want_sums.data()},
                                  stream()) != 0) {
      fail("launch");
    }
    late(64, [&] {
      return window::cuda::grad_values(
          {whole, kWindow, width, Scalar::kFloat32, all_grad.data(), all_sums.data()}, stream());
    });
    if (std::memcmp(want_sums.data(), all_sums.data() + first * width, want_sums.bytes()) != 0) {
      fail("gradient of values");
    }
    ++count;
  }
}

}  // namespace cases
