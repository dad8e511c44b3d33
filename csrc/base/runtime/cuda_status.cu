#include <cuda_runtime_api.h>

#include "base/runtime/cuda_status.h"

namespace bioner {
namespace {

// Of 13020: 13.2.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string capability_text() {
  int device = 0;
  int major = 0;
  int minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return std::to_string(major) + "." + std::to_string(minor);
}

}  // namespace

std::string cuda_status_text(int status) {
  int driver = 0;
  int runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  switch (status) {
    case cudaErrorInsufficientDriver:
    case cudaErrorUnsupportedPtxVersion:
      return "the NVIDIA driver is too old: it knows CUDA " + version_text(driver) + ", this build needs " +
             version_text(runtime) + "; update the driver, or build with a CUDA toolkit that it knows";
    case cudaErrorNoKernelImageForDevice:
      return "this build has no code for a device of compute capability " + capability_text() +
             " (`bioner-fast info` lists what it has); build with BIONER_CUDA_ARCHITECTURES for it";
    default:
      return cudaGetErrorString(static_cast<cudaError_t>(status));
  }
}

}  // namespace bioner
