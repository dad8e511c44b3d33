#include "runtime/simd.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace bioner::simd {
namespace {

constexpr Level kAll[] = {Level::kScalar, Level::kAvx2, Level::kAvx512, Level::kNeon, Level::kWide};

// __builtin_cpu_supports asks the operating system too (XGETBV). MSVC builds hold the scalar code only.
bool can_run(Level level) {
  switch (level) {
    case Level::kScalar:
      return true;
#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__)) && \
    !defined(_MSC_VER)
    case Level::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Level::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#if defined(BIONER_TEST_LEVELS)
    case Level::kWide:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#endif
#if defined(__aarch64__) && !defined(_MSC_VER)
    case Level::kNeon:
      return true;
#endif
    default:
      return false;
  }
}

Level parse(const std::string& wanted) {
  std::string names;
  for (const Level level : kAll) {
    if (!can_run(level)) {
      if (wanted == name(level)) {
        throw std::invalid_argument("BIONER_SIMD=" + wanted +
                                    " cannot run here: this build on this processor has " + [] {
                                      std::string have;
                                      for (const Level l : available()) {
                                        have += (have.empty() ? "" : ", ") + std::string(name(l));
                                      }
                                      return have;
                                    }());
      }
    } else if (wanted == name(level)) {
      return level;
    }
    if (level != Level::kWide) names += (names.empty() ? "" : ", ") + std::string(name(level));
  }
  throw std::invalid_argument("BIONER_SIMD=" + wanted + " is unknown: expected one of " + names);
}

Level best() {
  Level found = Level::kScalar;
  for (const Level level : available()) {
    if (level != Level::kWide) found = level;
  }
  return found;
}

// -1: not forced. Atomic, because a test may force a level while another thread decodes.
std::atomic<int> forced{-1};

Level chosen_at_start() {
  const char* wanted = std::getenv("BIONER_SIMD");
  return wanted == nullptr || *wanted == '\0' ? best() : parse(wanted);
}

}  // namespace

const char* name(Level level) {
  switch (level) {
    case Level::kScalar:
      return "scalar";
    case Level::kAvx2:
      return "avx2";
    case Level::kAvx512:
      return "avx512";
    case Level::kNeon:
      return "neon";
    case Level::kWide:
      return "wide";
  }
  return "scalar";
}

std::vector<Level> available() {
  std::vector<Level> levels;
  for (const Level level : kAll) {
    if (can_run(level)) levels.push_back(level);
  }
  return levels;
}

Level active() {
  const int wanted = forced.load(std::memory_order_relaxed);
  if (wanted >= 0) return static_cast<Level>(wanted);
  static const Level at_start =
      chosen_at_start();  // a throw leaves it unset, so every later call throws again
  return at_start;
}

void force(const std::string& level_name) {
  forced.store(level_name.empty() ? -1 : static_cast<int>(parse(level_name)), std::memory_order_relaxed);
}

}  // namespace bioner::simd
