// What the cases of all kernels share: random inputs, exact arrays, failures.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "base/core/scalar.h"
#include "executor.h"

namespace cases {

using Index = std::int64_t;
using bioner::BFloat16;
using bioner::Float16;
using bioner::load_scalar;
using bioner::ScalarTraits;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

extern std::mt19937_64 randomness;
extern Index count;     // of cases
extern Index failures;  //
extern std::string context;
extern int orders;  // in which each launch is tried

inline Index below(Index n) { return static_cast<Index>(randomness() % static_cast<std::uint64_t>(n)); }
inline bool coin() { return below(2) == 0; }

// Notes that the case at hand is wrong.
void fail(const std::string& what);

// Sets the order of threads for the launches that follow; `turn` counts from 0.
void set_order(int turn);

// The stream that every launch must be on.
inline void* stream() { return cuda_host::settings.stream; }

// Exactly `size` elements on the heap, poisoned, from `shift` elements behind an aligned address on.
template <typename T>
class Array {
 public:
  explicit Array(Index size = 0, Index shift = 0)
      : size_(size), memory_(new char[static_cast<std::size_t>(size + shift) * sizeof(T)]) {
    start_ = reinterpret_cast<T*>(memory_.get()) + shift;
    poison();
  }

  void poison() { std::memset(static_cast<void*>(start_), 0xFF, bytes()); }
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }
  Index size() const { return size_; }
  T* data() { return start_; }
  const T* data() const { return start_; }
  T& operator[](Index i) { return start_[i]; }
  const T& operator[](Index i) const { return start_[i]; }
  bool same_bits(const Array& other) const {
    return size_ == other.size_ && (size_ == 0 || std::memcmp(start_, other.start_, bytes()) == 0);
  }

 private:
  Index size_;
  std::unique_ptr<char[]> memory_;
  T* start_;
};

// Zeros that take no memory until they are touched.
template <typename T>
class Huge {
 public:
  explicit Huge(Index size) : bytes_(static_cast<std::size_t>(size) * sizeof(T)) {
    void* const memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
    start_ = static_cast<T*>(memory);
  }
  Huge(const Huge&) = delete;
  Huge& operator=(const Huge&) = delete;
  ~Huge() { munmap(start_, bytes_); }
  T* data() { return start_; }

 private:
  std::size_t bytes_;
  T* start_;
};

// Equal bits, or both NaN.
template <typename T>
bool same_values(const Array<T>& one, const Array<T>& other) {
  for (Index i = 0; i < one.size(); ++i) {
    if (std::memcmp(&one[i], &other[i], sizeof(T)) == 0) continue;
    const auto a = load_scalar(one[i]);
    const auto b = load_scalar(other[i]);
    if (!(a != a && b != b)) return false;
  }
  return one.size() == other.size();
}

template <typename T>
T make_scalar(double value) {
  if constexpr (sizeof(T) == 2) {
    return ScalarTraits<T>::store(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

// What values are drawn from.
enum class Kind { kNormal, kTies, kForbidden, kLarge, kSignedZeros, kImpossible, kAnything, kNan, kInfinite };
constexpr int kKinds = 9;
inline Kind any_kind() { return static_cast<Kind>(below(kKinds)); }

template <typename T>
void fill(Array<T>* array, Kind kind) {
  std::normal_distribution<double> normal;
  for (Index i = 0; i < array->size(); ++i) {
    double value = 2 * normal(randomness);
    switch (kind) {
      case Kind::kNormal:
        break;
      case Kind::kTies:
        value = static_cast<double>(below(3)) - 1;
        break;
      case Kind::kForbidden:
        if (below(3) == 0) value = -kInfinity;
        break;
      case Kind::kLarge:
        value *= 1000;
        break;
      case Kind::kSignedZeros:
        if (coin()) value = coin() ? -0.0 : 0.0;
        break;
      case Kind::kImpossible:
        value = -kInfinity;
        break;
      case Kind::kAnything:
        if (below(5) == 0) value = below(3) == 0 ? std::nan("") : (coin() ? kInfinity : -kInfinity);
        break;
      case Kind::kNan:
        if (below(9) == 0) value = std::nan("");
        break;
      case Kind::kInfinite:
        if (below(9) == 0) value = kInfinity;
        break;
    }
    (*array)[i] = make_scalar<T>(value);
  }
}

// Offsets of some batch of sentences with at most about `most` tokens.
Array<Index> make_offsets(Index most);
// Makes some of them wrong: negative, behind the end, out of order, extreme.
void spoil(Array<Index>* offsets, Index tokens);

// Offsets of kMany sentences: the first ends at `first` (a launch leaves its block out), then empty ones,
// then the tokens from `first` on.
constexpr Index kMany = 100;
Array<Index> last_of_many(Index first, Index tokens);

int any_tags();

// Memory for a CPU path, aligned.
class Workspace {
 public:
  void* of(std::size_t bytes) {
    memory_.assign(bytes + 64, static_cast<char>(0xFF));
    return memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64;
  }

 private:
  std::vector<char> memory_;
};

void viterbi(Index number);
void crf(Index number);
void crf_long(Index tokens, bool all);
void window(Index number);
void bad_contents(Index number);
void huge();

// Of the kinds, for bad_contents() and huge().
void bad_viterbi();
void bad_crf();
void bad_window();
void huge_viterbi();
void huge_crf();
void huge_window();

}  // namespace cases
