// What bind_module.cpp calls; each function is defined in the bind_*.cpp of the same name.
#pragma once

#include <pybind11/pybind11.h>

namespace bioner {

void register_articles(pybind11::module_& m);
void register_conll(pybind11::module_& m);
void register_names(pybind11::module_& m);
void register_row_index(pybind11::module_& m);
void register_tags(pybind11::module_& m);
void register_tokenize(pybind11::module_& m);
void register_vectors(pybind11::module_& m);
void register_vocabulary(pybind11::module_& m);
void register_word_forms(pybind11::module_& m);

}  // namespace bioner
