// A hidden layer of which only what dropout keeps is multiplied. Included by isa-inl.h.

namespace bioner::sparse::BIONER_LEVEL {
namespace {

// The sum over K of products of two rows: `Read` is a vector of the row that others share.
#if defined(__GNUC__)

template <typename V>
BIONER_INLINE V load_vector(const void* from) {
  V vector;
  memcpy(&vector, from, sizeof vector);
  return vector;
}

template <typename G>
struct Dot {
  using T = G;
  typedef G Vector __attribute__((vector_size(kBytes)));
  using Read = Vector;
  static constexpr std::int64_t kValues = kBytes / sizeof(G);
  Vector sums = {};

  BIONER_INLINE static Read read(const G* from) { return load_vector<Vector>(from); }
  BIONER_INLINE void add(const Read& left, const G* right) { sums += left * load_vector<Vector>(right); }
  BIONER_INLINE void add(const Dot& other) { sums += other.sums; }
  BIONER_INLINE Vector vector() const { return sums; }
};

#if defined(__AVX512BF16__)

template <>
struct Dot<BFloat16> {
  using T = float;
  typedef float Vector __attribute__((vector_size(kBytes)));
  using Read = __m512bh;
  static constexpr std::int64_t kValues = kBytes / sizeof(BFloat16);
  __m512 sums = _mm512_setzero_ps();

  BIONER_INLINE static Read read(const BFloat16* from) { return load_vector<__m512bh>(from); }
  BIONER_INLINE void add(const Read& left, const BFloat16* right) {
    sums = _mm512_dpbf16_ps(sums, left, load_vector<__m512bh>(right));
  }
  BIONER_INLINE void add(const Dot& other) { sums += other.sums; }
  BIONER_INLINE Vector vector() const { return sums; }
};

#else

// In words of two values, of which the lower halves and the upper halves are multiplied.
template <>
struct Dot<BFloat16> {
  using T = float;
  typedef float Vector __attribute__((vector_size(kBytes)));
  typedef std::uint32_t Words __attribute__((vector_size(kBytes)));
  struct Read {
    Vector lower, upper;
  };
  static constexpr std::int64_t kValues = kBytes / sizeof(BFloat16);
  Vector lower = {};
  Vector upper = {};

  BIONER_INLINE static Read read(const BFloat16* from) {
    const auto words = load_vector<Words>(from);
    return {reinterpret_cast<Vector>(words << 16), reinterpret_cast<Vector>(words & 0xFFFF0000U)};
  }
  BIONER_INLINE void add(const Read& left, const BFloat16* right) {
    const Read values = read(right);
    lower += left.lower * values.lower;
    upper += left.upper * values.upper;
  }
  BIONER_INLINE void add(const Dot& other) {
    lower += other.lower;
    upper += other.upper;
  }
  BIONER_INLINE Vector vector() const { return lower + upper; }
};

#endif

// A vector's lanes, added up to those of 16 bytes.
typedef float Floats16 __attribute__((vector_size(64)));
typedef float Floats8 __attribute__((vector_size(32)));
typedef float Floats4 __attribute__((vector_size(16)));
typedef double Doubles8 __attribute__((vector_size(64)));
typedef double Doubles4 __attribute__((vector_size(32)));
typedef double Doubles2 __attribute__((vector_size(16)));

BIONER_INLINE Floats4 folded(Floats4 v) { return v; }
BIONER_INLINE Floats4 folded(Floats8 v) {
  return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
}
BIONER_INLINE Floats4 folded(Floats16 v) {
  return folded(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}
BIONER_INLINE Doubles2 folded(Doubles2 v) { return v; }
BIONER_INLINE Doubles2 folded(Doubles4 v) {
  return __builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3);
}
BIONER_INLINE Doubles2 folded(Doubles8 v) {
  return folded(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
}

// Adds the sums of the lanes of four.
BIONER_INLINE void add_four(Floats4 a, Floats4 b, Floats4 c, Floats4 d, float* totals) {
  const Floats4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Floats4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Floats4 made = load_vector<Floats4>(totals) + (__builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
                                                       __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  memcpy(totals, &made, sizeof made);
}
BIONER_INLINE void add_four(Doubles2 a, Doubles2 b, Doubles2 c, Doubles2 d, double* totals) {
  totals[0] += a[0] + a[1];
  totals[1] += b[0] + b[1];
  totals[2] += c[0] + c[1];
  totals[3] += d[0] + d[1];
}

#else

template <typename G>
struct Dot {
  using T = typename ScalarTraits<G>::Accumulator;
  using Read = T;
  static constexpr std::int64_t kValues = 1;
  T sum = 0;

  BIONER_INLINE static Read read(const G* from) { return load_scalar(*from); }
  BIONER_INLINE void add(const Read& left, const G* right) { sum += left * load_scalar(*right); }
  BIONER_INLINE void add(const Dot& other) { sum += other.sum; }
  BIONER_INLINE T vector() const { return sum; }
};

template <typename T>
BIONER_INLINE T folded(T sum) {
  return sum;
}

template <typename T>
BIONER_INLINE void add_four(T a, T b, T c, T d, T* totals) {
  totals[0] += a;
  totals[1] += b;
  totals[2] += c;
  totals[3] += d;
}

#endif

// A part of a row of K by kCount others, added to the first of four totals; the rest of them stay as they
// are.
template <int kCount, typename G>
BIONER_INLINE void dots(const G* BIONER_RESTRICT left, const G* BIONER_RESTRICT right,
                        const std::uint8_t* BIONER_RESTRICT which, std::int64_t stride, std::int64_t length,
                        typename Dot<G>::T* BIONER_RESTRICT totals) {
  constexpr std::int64_t kValues = Dot<G>::kValues;
  const G* rows[kCount];
  for (int i = 0; i < kCount; ++i) rows[i] = right + which[i] * stride;
  // Few sums would wait for themselves, many do not fit into the registers.
  constexpr int kSets = kCount > 2 && kBytes < 64 ? 1 : 2;
  Dot<G> sums[kSets][4];
  std::int64_t k = 0;
  for (; k + kSets * kValues <= length; k += kSets * kValues) {
#pragma GCC unroll 2
    for (int set = 0; set < kSets; ++set) {
      const auto values = Dot<G>::read(left + k + set * kValues);
#pragma GCC unroll 8
      for (int i = 0; i < kCount; ++i) sums[set][i].add(values, rows[i] + k + set * kValues);
    }
  }
  for (; k < length; k += kValues) {
    const auto values = Dot<G>::read(left + k);
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) sums[0][i].add(values, rows[i] + k);
  }
  if constexpr (kSets == 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) sums[0][i].add(sums[1][i]);
  }
  add_four(folded(sums[0][0].vector()), folded(sums[0][1].vector()), folded(sums[0][2].vector()),
           folded(sums[0][3].vector()), totals);
}

// Rows of `from`, zeros after their values.
template <typename G>
void pad(const G* from, std::int64_t rows, std::int64_t summed, std::int64_t stride, G* to) {
  if (summed == 0) return;  // `from` may be null
  for (std::int64_t r = 0; r < rows; ++r) {
    memcpy(to + r * stride, from + r * summed, static_cast<std::size_t>(summed) * sizeof(G));
    memset(to + r * stride + summed, 0, static_cast<std::size_t>(stride - summed) * sizeof(G));
  }
}

// Which of `units` units from number `first` on each row keeps, and the rows in the order of how many.
BIONER_INLINE void choose(const Kept& op, std::int64_t first, std::int64_t units, Choice* choices,
                          std::int32_t* order) {
  const gated::Drop drop = op.drop;
  const std::uint32_t all = drop.threshold == 0 ? 1 : 0;
  std::int32_t ends[kUnits + 2] = {};  // ends[c + 1]: rows that keep c
  for (std::int64_t m = 0; m < op.rows; ++m) {
    const auto number = static_cast<std::uint32_t>(m * op.units + first);
    std::uint32_t keeps[kUnits];
#pragma GCC unroll 1
    for (std::int64_t u = 0; u < kUnits; ++u) {
      const std::uint32_t bits = gated::drop_bits(drop, number + static_cast<std::uint32_t>(u));
      keeps[u] = bits < drop.threshold ? 1 : all;
    }
    Choice& choice = choices[m];
    std::uint32_t count = 0;
    for (std::int64_t u = 0; u < units; ++u) {  // no branch: it would often be mispredicted
      choice.units[count] = static_cast<std::uint8_t>(u);
      count += keeps[u];
    }
    choice.count = static_cast<std::uint8_t>(count);
    ++ends[count + 1];
  }
  for (std::int64_t c = 0; c <= kUnits; ++c) ends[c + 1] += ends[c];
  for (std::int64_t m = 0; m < op.rows; ++m) order[ends[choices[m].count]++] = static_cast<std::int32_t>(m);
}

// A part of the rows of a block of units stays in the nearest caches while that of all rows of `left` goes
// by.
template <typename T, typename G>
void kept_typed(const Kept& op, std::int64_t begin, std::int64_t end, const KeptWorkspace& workspace) {
  constexpr std::int64_t kPart = kPartBytes / kUnits / static_cast<std::int64_t>(sizeof(G));
  const std::int64_t stride = padded(op.summed);
  const std::int64_t parts = (stride + kPart - 1) / kPart;
  const std::int64_t part = padded((stride + parts - 1) / (parts > 0 ? parts : 1));
  auto* const left = static_cast<G*>(workspace.left);
  auto* const right = static_cast<G*>(workspace.right);
  auto* const totals = static_cast<T*>(workspace.totals);
  pad(static_cast<const G*>(op.left), op.rows, op.summed, stride, left);
  const T scale = static_cast<T>(op.drop.scale);
  for (std::int64_t first = begin; first < end; first += kUnits) {
    const std::int64_t units = end - first < kUnits ? end - first : kUnits;
    pad(static_cast<const G*>(op.right) + first * op.summed, units, op.summed, stride, right);
    choose(op, first, units, workspace.choices, workspace.order);
    memset(totals, 0, static_cast<std::size_t>(op.rows * kUnits) * sizeof(T));
    for (std::int64_t start = 0; start < stride; start += part) {
      const std::int64_t length = stride - start < part ? stride - start : part;
      for (std::int64_t i = 0; i < op.rows; ++i) {
        const std::int64_t m = workspace.order[i];
        const Choice& choice = workspace.choices[m];
        const G* const row = left + m * stride + start;
        T* const to = totals + m * kUnits;
        std::int64_t done = 0;
        for (; done + 4 <= choice.count; done += 4) {
          dots<4>(row, right + start, choice.units + done, stride, length, to + done);
        }
        if (choice.count - done == 3) {
          dots<3>(row, right + start, choice.units + done, stride, length, to + done);
        } else if (choice.count - done == 2) {
          dots<2>(row, right + start, choice.units + done, stride, length, to + done);
        } else if (choice.count - done == 1) {
          dots<1>(row, right + start, choice.units + done, stride, length, to + done);
        }
      }
    }
    const T* BIONER_RESTRICT const bias = static_cast<const T*>(op.bias) + first;
    for (std::int64_t m = 0; m < op.rows; ++m) {
      const Choice& choice = workspace.choices[m];
      T sums[kUnits];
      for (T& sum : sums) sum = static_cast<T>(-HUGE_VAL);  // dropped: relu makes it zero
      for (std::int64_t i = 0; i < choice.count; ++i) sums[choice.units[i]] = totals[m * kUnits + i];
      T* BIONER_RESTRICT const out = static_cast<T*>(op.out) + m * op.units + first;
      for (std::int64_t u = 0; u < units; ++u) {
        const T value = static_cast<T>(load_scalar(ScalarTraits<G>::store(sums[u]))) + bias[u];
        out[u] = value > T(0) ? value * scale : T(0);
      }
    }
  }
}

void kept(const Kept& op, std::int64_t begin, std::int64_t end, const KeptWorkspace& workspace) {
  if (op.scalar == Scalar::kFloat64) {
    kept_typed<double, double>(op, begin, end, workspace);
  } else if (op.scalar == Scalar::kBFloat16) {
    kept_typed<float, BFloat16>(op, begin, end, workspace);
  } else {
    kept_typed<float, float>(op, begin, end, workspace);
  }
}

}  // namespace
}  // namespace bioner::sparse::BIONER_LEVEL
