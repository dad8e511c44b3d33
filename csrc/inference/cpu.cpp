// Inference on the CPU: rows split between threads and worked on in blocks.
#include <algorithm>
#include <vector>

#include "base/runtime/simd.h"
#include "base/runtime/thread_pool.h"
#include "inference/infer.h"
#include "inference/kernels.h"

namespace bioner::infer {
namespace {

#if defined(BIONER_X86_LEVELS)
const Kernels& kernels_of(simd::Extension extension) {
  switch (extension) {
#if defined(BIONER_AMX)
    case simd::Extension::kAmx:
      return amx::kernels;
#endif
    case simd::Extension::kBf16:
      return bf16::kernels;
    case simd::Extension::kVnni:
      return vnni::kernels;
#if defined(BIONER_AVX_VNNI)
    case simd::Extension::kAvx2Vnni:
      return avx2_vnni::kernels;
#endif
    case simd::Extension::kAvx2Base:
      return avx2::kernels;
    default:
      return avx512::kernels;
  }
}
#endif

const Kernels& active_kernels() {
  switch (simd::active()) {
#if defined(BIONER_X86_LEVELS)
    case simd::Level::kAvx2:
    case simd::Level::kAvx512:
      return kernels_of(simd::extension());
    case simd::Level::kWide:  // the lanes are 512 bits wide at every level
      return avx2::kernels;
#elif defined(BIONER_ARM_LEVELS)
    case simd::Level::kNeon:
      return neon::kernels;
#endif
    default:
      return scalar::kernels;
  }
}

// Grows to the largest block and stays with its thread: allocating it anew costs more page faults than some
// calls take.
float* scratch_of(std::int64_t columns) {
  thread_local std::vector<float> memory;
  const std::size_t needed = static_cast<std::size_t>(kBlock * columns + 16);
  if (memory.size() < needed) memory.resize(needed);
  const std::uintptr_t address = (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64;
  return reinterpret_cast<float*>(address);
}

template <typename Op>
void run(const Op& op, std::int64_t columns, void (*front)(const Op&, std::int64_t, std::int64_t, float*),
         const Kernels& kernels, const Epilogue& epilogue, int threads) {
  parallel_for(op.rows, kBlock, threads, [&](std::int64_t begin, std::int64_t end) {
    float* scratch = scratch_of(columns);
    for (std::int64_t first = begin; first < end; first += kBlock) {
      const std::int64_t last = std::min(end, first + kBlock);
      front(op, first, last, scratch);
      kernels.finish(epilogue, first, last, scratch, columns);
    }
  });
}

}  // namespace

void linear_cpu(const Linear& op, const Epilogue& epilogue, int threads) {
  const Kernels& kernels = active_kernels();
  run(op, op.columns, kernels.linear, kernels, epilogue, threads);
}

void table_sum_cpu(const TableSum& op, const Epilogue& epilogue, int threads) {
  const Kernels& kernels = active_kernels();
  run(op, op.groups * op.width, kernels.table_sum, kernels, epilogue, threads);
}

void characters_cpu(const Characters& op, int threads) {
  const Kernels& kernels = active_kernels();
  parallel_for(op.rows, kBlock, threads,
               [&](std::int64_t begin, std::int64_t end) { kernels.characters(op, begin, end); });
}

bool is_native(Type type) {
  if (type == Type::kFloat32) return true;
#if defined(BIONER_X86_LEVELS)
  const simd::Extension extension = simd::extension();
  if (type == Type::kBFloat16) return extension >= simd::Extension::kBf16;
  return extension == simd::Extension::kAvx2Vnni || extension >= simd::Extension::kVnni;
#else
  return false;
#endif
}

}  // namespace bioner::infer
