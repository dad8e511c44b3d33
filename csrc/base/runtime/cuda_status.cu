#include <cuda_runtime_api.h>

#include "base/runtime/cuda_status.h"

namespace bioner {

const char* cuda_status_text(int status) { return cudaGetErrorString(static_cast<cudaError_t>(status)); }

}  // namespace bioner
