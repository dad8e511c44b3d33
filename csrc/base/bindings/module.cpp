// Table of contents of bioner_fast._ops. base/bindings/tensor.h says how to add an op.
#include <pybind11/pybind11.h>

#include "base/runtime/thread_pool.h"

namespace bioner::bindings {
void register_runtime(pybind11::module_& module);
void register_window(pybind11::module_& module);
void register_crf(pybind11::module_& module);
void register_dense(pybind11::module_& module);
void register_gated(pybind11::module_& module);
void register_mlp(pybind11::module_& module);
void register_sparse(pybind11::module_& module);
void register_step(pybind11::module_& module);
void register_viterbi(pybind11::module_& module);
void register_infer(pybind11::module_& module);
}  // namespace bioner::bindings

PYBIND11_MODULE(_ops, module) {
  module.doc() = "Native kernels of bioner_fast; use bioner_fast.ops";
  bioner::watch_forks();
  bioner::bindings::register_runtime(module);
  bioner::bindings::register_window(module);
  bioner::bindings::register_crf(module);
  bioner::bindings::register_dense(module);
  bioner::bindings::register_gated(module);
  bioner::bindings::register_mlp(module);
  bioner::bindings::register_sparse(module);
  bioner::bindings::register_step(module);
  bioner::bindings::register_viterbi(module);
  bioner::bindings::register_infer(module);
}
