#include "base/runtime/simd.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(BIONER_AMX) || defined(BIONER_AVX_VNNI)
#include <cpuid.h>
#endif
#if defined(BIONER_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__)) && \
    !defined(_MSC_VER)
#define BIONER_X86_EXTENSIONS
#endif

namespace bioner::simd {
namespace {

constexpr Level kAll[] = {Level::kScalar, Level::kAvx2, Level::kAvx512, Level::kNeon, Level::kWide};

// __builtin_cpu_supports asks the operating system too (XGETBV). MSVC builds hold the scalar code only.
bool can_run(Level level) {
  switch (level) {
    case Level::kScalar:
      return true;
#if defined(BIONER_X86_EXTENSIONS)
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

#if defined(BIONER_AVX_VNNI)
// Not every compiler knows the name.
bool has_avx_vnni() {
  unsigned int eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1u << 4) != 0;
}
#endif

#if defined(BIONER_AMX)
// Linux hands out the tiles' state on request, once for all threads of a process.
bool ask_for_tiles() {
  unsigned int eax, ebx, ecx, edx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned int kBf16Bit = 1u << 22, kTileBit = 1u << 24, kInt8Bit = 1u << 25;
  constexpr unsigned int kNeeded = kBf16Bit | kTileBit | kInt8Bit;
  if ((edx & kNeeded) != kNeeded) return false;
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}
#endif

bool can_run(Extension extension) {
#if defined(BIONER_X86_EXTENSIONS)
  switch (extension) {
    case Extension::kAvx2Base:
      return can_run(Level::kAvx2);
    case Extension::kAvx2Vnni:
#if defined(BIONER_AVX_VNNI)
      return can_run(Level::kAvx2) && has_avx_vnni();
#else
      return false;
#endif
    case Extension::kBase:
      return can_run(Level::kAvx512);
    case Extension::kVnni:
      return can_run(Extension::kBase) && __builtin_cpu_supports("avx512vnni");
    case Extension::kBf16:
      return can_run(Extension::kVnni) && __builtin_cpu_supports("avx512bf16");
    case Extension::kAmx: {
#if defined(BIONER_AMX)
      static const bool granted = can_run(Extension::kBf16) && ask_for_tiles();
      return granted;
#else
      return false;
#endif
    }
  }
#endif
  static_cast<void>(extension);
  return false;
}

constexpr Extension kExtensions[] = {Extension::kAvx2Base, Extension::kAvx2Vnni, Extension::kBase,
                                     Extension::kVnni,     Extension::kBf16,     Extension::kAmx};

Level level_of(Extension extension) {
  return extension <= Extension::kAvx2Vnni ? Level::kAvx2 : Level::kAvx512;
}

// Intel's AVX512-BF16 takes longer for a product than two float32 products do (docs/tagging.md).
bool is_worth_it(Extension extension) { return extension != Extension::kBf16 || !is_intel(); }

// Of a level alone: the highest extension that can run and is worth it.
Extension highest(Level level) {
  Extension found = Extension::kBase;
  for (const Extension extension : kExtensions) {
    if (level_of(extension) == level && can_run(extension) && is_worth_it(extension)) found = extension;
  }
  return found;
}

struct Choice {
  Level level;
  Extension extension;
};

Choice of_level(Level level) { return {level, highest(level)}; }

std::invalid_argument cannot_run(const std::string& wanted) {
  std::string have;
  for (const Level level : available()) have += (have.empty() ? "" : ", ") + std::string(name(level));
  for (const Extension extension : available_extensions()) have += ", " + std::string(name(extension));
  return std::invalid_argument("BIONER_SIMD=" + wanted +
                               " cannot run here: this build on this processor has " + have);
}

Choice parse(const std::string& wanted) {
  for (const Level level : kAll) {
    if (wanted == name(level)) return can_run(level) ? of_level(level) : throw cannot_run(wanted);
  }
  for (const Extension extension : kExtensions) {
    if (wanted == name(extension)) {
      return can_run(extension) ? Choice{level_of(extension), extension} : throw cannot_run(wanted);
    }
  }
  std::string names;
  for (const Level level : available()) {
    if (level != Level::kWide) names += (names.empty() ? "" : ", ") + std::string(name(level));
  }
  for (const Extension extension : available_extensions()) names += ", " + std::string(name(extension));
  throw std::invalid_argument("BIONER_SIMD=" + wanted + " is unknown: expected one of " + names);
}

Choice best() {
  Level found = Level::kScalar;
  for (const Level level : available()) {
    if (level != Level::kWide) found = level;
  }
  return of_level(found);
}

constexpr int kCount = sizeof(kExtensions) / sizeof(kExtensions[0]);

// A Choice as level * kCount + extension, -1: not forced. Atomic, because a test may force a level while
// another thread decodes.
std::atomic<int> forced{-1};

Choice chosen_at_start() {
  const char* wanted = std::getenv("BIONER_SIMD");
  return wanted == nullptr || *wanted == '\0' ? best() : parse(wanted);
}

Choice chosen() {
  const int wanted = forced.load(std::memory_order_relaxed);
  if (wanted >= 0) return {static_cast<Level>(wanted / kCount), static_cast<Extension>(wanted % kCount)};
  // A throw leaves it unset, so every later call throws again.
  static const Choice at_start = chosen_at_start();
  return at_start;
}

}  // namespace

bool is_intel() {
#if defined(BIONER_X86_EXTENSIONS)
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
}

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

const char* name(Extension extension) {
  switch (extension) {
    case Extension::kAvx2Base:
      return "avx2_base";
    case Extension::kAvx2Vnni:
      return "avx2_vnni";
    case Extension::kBase:
      return "avx512_base";
    case Extension::kVnni:
      return "avx512_vnni";
    case Extension::kBf16:
      return "avx512_bf16";
    case Extension::kAmx:
      return "avx512_amx";
  }
  return "avx512_base";
}

std::vector<Level> available() {
  std::vector<Level> levels;
  for (const Level level : kAll) {
    if (can_run(level)) levels.push_back(level);
  }
  return levels;
}

std::vector<Extension> available_extensions() {
  std::vector<Extension> extensions;
  for (const Extension extension : kExtensions) {
    if (can_run(extension)) extensions.push_back(extension);
  }
  return extensions;
}

Level active() { return chosen().level; }

Extension extension() { return chosen().extension; }

void force(const std::string& wanted) {
  if (wanted.empty()) return forced.store(-1, std::memory_order_relaxed);
  const Choice choice = parse(wanted);
  forced.store(static_cast<int>(choice.level) * kCount + static_cast<int>(choice.extension),
               std::memory_order_relaxed);
}

}  // namespace bioner::simd
