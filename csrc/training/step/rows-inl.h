// Rows of word vectors beside those of capitalisation. Included by isa-inl.h.

// ---- rows

namespace bioner::step::BIONER_LEVEL {
namespace {

// The table does not fit any cache: rows are asked for while those before them are worked on.
constexpr std::int64_t kRowsAhead = 6;

#if defined(__GNUC__)
BIONER_INLINE void fetch_row(const void* row, std::int64_t bytes) {
  for (std::int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(static_cast<const char*>(row) + b);
}
#else
BIONER_INLINE void fetch_row(const void*, std::int64_t) {}
#endif

template <typename T>
void rows_typed(const Rows& op, std::int64_t begin, std::int64_t end) {
  const T* table = static_cast<const T*>(op.table);
  const std::int64_t bytes = op.width * static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t m = begin; m < end; ++m) {
    if (m + kRowsAhead < end) fetch_row(table + op.ids[m + kRowsAhead] * op.width, bytes);
    T* to = static_cast<T*>(op.rows) + m * (op.width + op.also);
    memcpy(to, table + op.ids[m] * op.width, static_cast<std::size_t>(bytes));
    if (op.also == 0) continue;
    const T* BIONER_RESTRICT from = static_cast<const T*>(op.also_table) + op.also_ids[m] * op.also;
    for (std::int64_t e = 0; e < op.also; ++e) to[op.width + e] = from[e];
  }
}

template <typename T>
void rows_sgd_typed(const Rows& op, std::int64_t begin, std::int64_t end) {
  const T rate = static_cast<T>(op.rate);
  const std::int64_t stride = op.width + op.also;
  const std::int64_t bytes = op.width * static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t m = 0; m < op.count; ++m) {
    if (m + kRowsAhead < op.count) {
      fetch_row(static_cast<const T*>(op.table) + op.ids[m + kRowsAhead] * op.width, bytes);
    }
    const std::int64_t owner = op.ids[m] % kRowOwners;
    if (owner < begin || owner >= end) continue;
    const T* BIONER_RESTRICT grad = static_cast<const T*>(op.rows) + m * stride;
    T* BIONER_RESTRICT row = static_cast<T*>(op.table) + op.ids[m] * op.width;
    for (std::int64_t c = 0; c < op.width; ++c) row[c] -= rate * grad[c];
  }
}

template <typename T>
void rows_also_typed(const Rows& op) {
  const std::int64_t stride = op.width + op.also;
  for (std::int64_t m = 0; m < op.count; ++m) {
    const T* BIONER_RESTRICT grad = static_cast<const T*>(op.rows) + m * stride + op.width;
    T* BIONER_RESTRICT sum = static_cast<T*>(op.grad_also) + op.also_ids[m] * op.also;
    for (std::int64_t e = 0; e < op.also; ++e) sum[e] += grad[e];
  }
}

template <typename T>
void fold_typed(const Fold& op, std::int64_t begin, std::int64_t end) {
  std::int64_t first = 0;  // the first window that ends beyond the row
  for (std::int64_t r = begin; r < end; ++r) {
    while (first < op.tokens && op.starts[first] + op.window <= r) ++first;
    T* BIONER_RESTRICT to = static_cast<T*>(op.out) + r * op.width;
    for (std::int64_t d = 0; d < op.width; ++d) to[d] = T(0);
    for (std::int64_t n = first; n < op.tokens && op.starts[n] <= r; ++n) {
      const T* BIONER_RESTRICT from =
          static_cast<const T*>(op.windows) + (n * op.window + r - op.starts[n]) * op.width;
      for (std::int64_t d = 0; d < op.width; ++d) to[d] += from[d];
    }
  }
}

void rows(const Rows& op, std::int64_t begin, std::int64_t end) {
  op.scalar == Scalar::kFloat64 ? rows_typed<double>(op, begin, end) : rows_typed<float>(op, begin, end);
}

void rows_sgd(const Rows& op, std::int64_t begin, std::int64_t end) {
  op.scalar == Scalar::kFloat64 ? rows_sgd_typed<double>(op, begin, end)
                                : rows_sgd_typed<float>(op, begin, end);
}

void fold(const Fold& op, std::int64_t begin, std::int64_t end) {
  op.scalar == Scalar::kFloat64 ? fold_typed<double>(op, begin, end) : fold_typed<float>(op, begin, end);
}

void rows_also(const Rows& op) {
  op.scalar == Scalar::kFloat64 ? rows_also_typed<double>(op) : rows_also_typed<float>(op);
}

}  // namespace
}  // namespace bioner::step::BIONER_LEVEL
