// Checked NumPy views and errors for the bindings of the text path.
//
// Everything is checked here, with the GIL held, and named in the message; the library below trusts its
// input.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/text_error.h"

namespace bioner {

namespace py = pybind11;

// Strings packed one after another: item i is text[offsets[i] .. offsets[i + 1]). offsets[0] may be above 0
// (a slice).
struct StringView {
  const char* text = nullptr;
  const std::int64_t* offsets = nullptr;
  std::int64_t size = 0;

  std::string_view operator[](std::int64_t i) const {
    return {text + offsets[i], static_cast<std::size_t>(offsets[i + 1] - offsets[i])};
  }
};

// The C-contiguous one-dimensional array of T in `value`; TypeError or ValueError naming `name` otherwise.
template <typename T>
py::array_t<T> vector_of(const py::handle& value, const char* name) {
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(std::string(name) + ": expected a NumPy array, got " +
                         std::string(py::str(py::type::of(value).attr("__name__"))));
  }
  const auto array = py::reinterpret_borrow<py::array>(value);
  if (!py::isinstance<py::array_t<T, py::array::c_style>>(value)) {
    throw py::type_error(std::string(name) + ": expected a contiguous array of " +
                         std::string(py::str(py::dtype::of<T>())) + ", got " +
                         std::string(py::str(array.dtype())) + " of " + std::to_string(array.ndim()) +
                         " dimension(s)");
  }
  if (array.ndim() != 1) {
    throw py::value_error(std::string(name) + ": expected 1 dimension, got " + std::to_string(array.ndim()));
  }
  return py::reinterpret_borrow<py::array_t<T>>(value);
}

// Checks that `offsets` has at least one entry, ascends, starts at 0 (unless `slice`) and ends at `end` (or,
// for a slice, at or below it).
inline void check_offsets(const py::array_t<std::int64_t>& offsets, std::int64_t end, const char* name,
                          bool slice = false) {
  const std::int64_t* o = offsets.data();
  const std::int64_t n = offsets.size();
  if (n < 1) throw py::value_error(std::string(name) + ": expected at least one offset, got none");
  std::int64_t bad = -1;
  if (o[0] < 0 || (!slice && o[0] != 0)) bad = 0;
  for (std::int64_t i = 1; i < n && bad < 0; ++i) {
    if (o[i] < o[i - 1]) bad = i;
  }
  if (bad < 0 && (slice ? o[n - 1] > end : o[n - 1] != end)) bad = n - 1;
  if (bad >= 0) {
    throw py::value_error(std::string(name) + ": expected ascending offsets from 0 to " +
                          std::to_string(end) + ", got " + std::to_string(o[bad]) + " at index " +
                          std::to_string(bad));
  }
}

// The strings of a StringColumn given as its two arrays. The arrays must outlive the view.
inline StringView string_view_of(const py::array_t<std::uint8_t>& buffer,
                                 const py::array_t<std::int64_t>& offsets, const char* name) {
  check_offsets(offsets, buffer.size(), name, /*slice=*/true);
  return {reinterpret_cast<const char*>(buffer.data()), offsets.data(), offsets.size() - 1};
}

// Checks that every one of `ids` lies in [0, count).
template <typename T>
void check_ids(const py::array_t<T>& ids, std::int64_t count, const char* name) {
  const T* values = ids.data();
  for (std::int64_t i = 0; i < ids.size(); ++i) {
    if (values[i] < 0 || values[i] >= count) {
      throw py::value_error(std::string(name) + ": expected values from 0 to " + std::to_string(count - 1) +
                            ", got " + std::to_string(values[i]) + " at index " + std::to_string(i));
    }
  }
}

// Gives `size` elements of `data` to NumPy without a copy.
template <typename T, typename Deleter>
py::array_t<T> to_numpy(std::unique_ptr<T[], Deleter> data, std::int64_t size) {
  using Owner = std::unique_ptr<T[], Deleter>;
  T* const raw = data.get();
  auto* const owner = new Owner(std::move(data));
  const py::capsule capsule(owner, [](void* p) { delete static_cast<Owner*>(p); });
  return py::array_t<T>({size}, {static_cast<py::ssize_t>(sizeof(T))}, raw, capsule);
}

template <typename T>
py::array_t<T> to_numpy(std::vector<T> data) {
  auto* raw = new std::vector<T>(std::move(data));
  py::capsule owner(raw, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>({static_cast<py::ssize_t>(raw->size())}, {static_cast<py::ssize_t>(sizeof(T))},
                        raw->data(), owner);
}

inline py::list to_list(const std::vector<std::string>& strings) {
  py::list list;
  for (const std::string& s : strings) list.append(py::str(s));
  return list;
}

// Raises bioner_fast.errors.FormatError for what the library found in file `path`.
[[noreturn]] inline void raise_format_error(const std::string& path, const TextError& error) {
  const py::object type = py::module_::import("bioner_fast.errors").attr("FormatError");
  const py::object line = error.line() > 0 ? py::object(py::int_(error.line())) : py::object(py::none());
  // What the file holds may not be UTF-8; the message must still be.
  const std::string what = error.what();
  const py::object message = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(what.data(), static_cast<py::ssize_t>(what.size()), "replace"));
  const py::object exception = type(path, message, line);
  PyErr_SetObject(type.ptr(), exception.ptr());
  throw py::error_already_set();
}

}  // namespace bioner
