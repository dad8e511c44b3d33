// Table of contents of the extension module `_text`: one line per file that binds something.
#include <pybind11/pybind11.h>

#include "base/runtime/thread_pool.h"
#include "text/register.h"

PYBIND11_MODULE(_text, m) {
  m.doc() = "Native text path of bioner_fast (private: use the Python modules around it)";
  bioner::watch_forks();
  bioner::register_articles(m);
  bioner::register_conll(m);
  bioner::register_names(m);
  bioner::register_row_index(m);
  bioner::register_tags(m);
  bioner::register_tokenize(m);
  bioner::register_vectors(m);
  bioner::register_vocabulary(m);
  bioner::register_word_forms(m);
}
