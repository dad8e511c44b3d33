// Text of a CUDA error, so that files compiled without the CUDA headers can report it.
#pragma once

#include <string>

namespace bioner {

// Says what to do where this build does not fit the driver or the device.
std::string cuda_status_text(int status);

}  // namespace bioner
