// Text of a CUDA error, so that files compiled without the CUDA headers can report it.
#pragma once

namespace bioner {

const char* cuda_status_text(int status);

}  // namespace bioner
