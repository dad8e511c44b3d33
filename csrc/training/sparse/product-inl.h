// A matrix that is mostly zeros by a dense one. Included by isa-inl.h.

namespace bioner::sparse::BIONER_LEVEL {
namespace {

#if defined(__GNUC__)

// Bits of float32 values to those of ScalarTraits<BFloat16>::store, in the upper half.
template <typename Words>
BIONER_INLINE Words nearest_bfloat16(Words bits) {
  const Words nearest = bits + 0x7FFFU + (bits >> 16 & 1U);
  return (bits & 0x7FFFFFFFU) > 0x7F800000U ? Words{} + 0x7FC00000U : nearest;
}

// Sums of the columns that one vector of `right` holds.
template <typename G>
struct Sums {
  typedef G Vector __attribute__((vector_size(kBytes)));
  static constexpr std::int64_t kColumns = kBytes / sizeof(G);
  Vector sums = {};

  BIONER_INLINE void add(G value, const G* row) {
    Vector values;
    memcpy(&values, row, sizeof values);
    sums += value * values;
  }
  BIONER_INLINE void store(G* out) const { memcpy(out, &sums, sizeof sums); }
};

#if defined(__AVX512BF16__)

// Two rows at once, whose values are laid side by side; the order in which that leaves columns is undone in
// the end.
template <>
struct Sums<BFloat16> {
  typedef std::uint32_t Words __attribute__((vector_size(kBytes)));
  static constexpr std::int64_t kColumns = kBytes / sizeof(BFloat16);
  __m512 lower = _mm512_setzero_ps();
  __m512 upper = _mm512_setzero_ps();

  BIONER_INLINE void add(__m512bh values, const BFloat16* row, const BFloat16* next) {
    const __m512i a = _mm512_loadu_si512(row);
    const __m512i b = _mm512_loadu_si512(next);
    lower = _mm512_dpbf16_ps(lower, values, reinterpret_cast<__m512bh>(_mm512_unpacklo_epi16(a, b)));
    upper = _mm512_dpbf16_ps(upper, values, reinterpret_cast<__m512bh>(_mm512_unpackhi_epi16(a, b)));
  }
  BIONER_INLINE void store(BFloat16* out) const {
    const __m512i words = _mm512_packus_epi32(rounded(lower), rounded(upper));
    memcpy(out, &words, sizeof words);
  }
  BIONER_INLINE static __m512i rounded(__m512 values) {
    return reinterpret_cast<__m512i>(nearest_bfloat16(reinterpret_cast<Words>(values)) >> 16);
  }
};

#else

// In words of two values, those of lower and those of upper halves apart: neither has to be moved.
template <>
struct Sums<BFloat16> {
  typedef float Vector __attribute__((vector_size(kBytes)));
  typedef std::uint32_t Words __attribute__((vector_size(kBytes)));
  static constexpr std::int64_t kColumns = kBytes / sizeof(BFloat16);
  static constexpr std::uint32_t kUpper = 0xFFFF0000U;
  Vector lower = {};
  Vector upper = {};

  BIONER_INLINE void add(float value, const BFloat16* row) {
    Words words;
    memcpy(&words, row, sizeof words);
    lower += value * reinterpret_cast<Vector>(words << 16);
    upper += value * reinterpret_cast<Vector>(words & kUpper);
  }
  BIONER_INLINE void store(BFloat16* out) const {
    const Words words = rounded(lower) >> 16 | (rounded(upper) & kUpper);
    memcpy(out, &words, sizeof words);
  }
  BIONER_INLINE static Words rounded(Vector values) {
    return nearest_bfloat16(reinterpret_cast<Words>(values));
  }
};

#endif

#else

// One column.
template <typename G>
struct Sums {
  using T = typename ScalarTraits<G>::Accumulator;
  static constexpr std::int64_t kColumns = 1;
  T sum = 0;

  BIONER_INLINE void add(T value, const G* row) { sum += value * load_scalar(*row); }
  BIONER_INLINE void store(G* out) const { *out = ScalarTraits<G>::store(sum); }
};

#endif

// Of these so many are in registers together: AVX2 has sixteen.
template <typename G>
constexpr int kTogether = sizeof(G) == 4 && kBytes < 64 ? 8 : 4;

// Columns of a block: `right` is read in them, by all rows, while they stay in the second-level cache.
template <typename G>
constexpr std::int64_t kBlock = kTogether<G> * Sums<G>::kColumns;

static_assert(kBlock<float> <= kMostColumns && kBlock<double> <= kMostColumns &&
              kBlock<BFloat16> <= kMostColumns);

// The values of `left` that are not zero, row by row; ends[m] of them in rows up to m.
template <typename T, typename G>
void list(const Product& op, Entry<T>* BIONER_RESTRICT entries, std::int64_t* BIONER_RESTRICT ends) {
  std::int64_t count = 0;
  for (std::int64_t m = 0; m < op.rows; ++m) {
    const G* BIONER_RESTRICT row = static_cast<const G*>(op.left) + m * op.summed;
    for (std::int64_t k = 0; k < op.summed; ++k) {  // no branch: it would often be mispredicted
      const T value = load_scalar(row[k]);
      entries[count] = {static_cast<std::int32_t>(k), value};
      count += value != T(0) ? 1 : 0;
    }
    ends[m] = count;
  }
}

// Rows of the panel by values of a row of `left`, added to kTogether sums.
template <typename T, typename G>
BIONER_INLINE void add_entries(const Entry<T>* entry, const Entry<T>* last, const G* panel,
                               std::int64_t /*summed*/, Sums<G>* sums) {
  for (; entry != last; ++entry) {
    const G* const row = panel + entry->summed * kBlock<G>;
#pragma GCC unroll 8
    for (int i = 0; i < kTogether<G>; ++i) sums[i].add(entry->value, row + i * Sums<G>::kColumns);
  }
}

#if defined(__AVX512BF16__)
// In pairs; beside the last of an odd number there is the row of zeros after the others.
BIONER_INLINE void add_entries(const Entry<float>* entry, const Entry<float>* last, const BFloat16* panel,
                               std::int64_t summed, Sums<BFloat16>* sums) {
  constexpr std::int64_t kRow = kBlock<BFloat16>;
  for (; entry != last; ++entry) {
    const BFloat16* const row = panel + entry->summed * kRow;
    const BFloat16* next = panel + summed * kRow;
    std::uint32_t values = float_bits(entry->value) >> 16;
    if (entry + 1 != last) {
      ++entry;
      next = panel + entry->summed * kRow;
      values |= float_bits(entry->value);  // whose lower half is zero
    }
    const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(values)));
#pragma GCC unroll 8
    for (int i = 0; i < kTogether<BFloat16>; ++i) {
      sums[i].add(both, row + i * Sums<BFloat16>::kColumns, next + i * Sums<BFloat16>::kColumns);
    }
  }
}
#endif

template <typename T, typename G>
void multiply_typed(const Product& op, std::int64_t begin, std::int64_t end, const Workspace& workspace) {
  auto* const entries = static_cast<Entry<T>*>(workspace.entries);
  list<T, G>(op, entries, workspace.ends);
  // A block of `right` lies together: in place its rows would each be on a page of their own.
  G* const panel = static_cast<G*>(workspace.panel);
  memset(panel, 0, static_cast<std::size_t>((op.summed + 1) * kBlock<G>) * sizeof(G));
  for (std::int64_t column = begin; column < end; column += kBlock<G>) {
    const std::int64_t columns = end - column < kBlock<G> ? end - column : kBlock<G>;
    const std::size_t bytes = static_cast<std::size_t>(columns) * sizeof(G);
    for (std::int64_t k = 0; k < op.summed; ++k) {
      memcpy(panel + k * kBlock<G>, static_cast<const G*>(op.right) + k * op.columns + column, bytes);
    }
    const Entry<T>* entry = entries;
    for (std::int64_t m = 0; m < op.rows; ++m) {
      const Entry<T>* const last = entries + workspace.ends[m];
      Sums<G> sums[kTogether<G>];
      add_entries(entry, last, panel, op.summed, sums);
      entry = last;
      G made[kBlock<G>];
#pragma GCC unroll 8
      for (int i = 0; i < kTogether<G>; ++i) sums[i].store(made + i * Sums<G>::kColumns);
      memcpy(static_cast<G*>(op.out) + m * op.columns + column, made, bytes);
    }
  }
}

void multiply(const Product& op, std::int64_t begin, std::int64_t end, const Workspace& workspace) {
  if (op.scalar == Scalar::kFloat64) {
    multiply_typed<double, double>(op, begin, end, workspace);
  } else if (op.scalar == Scalar::kBFloat16) {
    multiply_typed<float, BFloat16>(op, begin, end, workspace);
  } else {
    multiply_typed<float, float>(op, begin, end, workspace);
  }
}

}  // namespace
}  // namespace bioner::sparse::BIONER_LEVEL
