#!/usr/bin/env bash
# Builds extensions under a sanitizer and runs Python tests on them; Python itself is not instrumented.
#
#   tools/sanitized.sh PYTHON PRESET "EXTENSIONS" PYTEST-ARGUMENTS...
#
# PYTHON has the tests' dependencies, cmake, ninja and pybind11; PRESET is one of CMakePresets.json.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 preset=$2 extensions=$3
shift 3
PATH="$(dirname "$python"):$PATH"
build=build/$preset
cmake --preset "$preset" -DPython_EXECUTABLE="$python" >/dev/null
# shellcheck disable=SC2086
cmake --build --preset "$preset" --target $extensions --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-2}"

# A copy of the package with the sanitized extensions in it.
package=$build/python
rm -rf "$package"
mkdir -p "$package"
cp -r python/bioner_fast "$package"
find "$package" -name '*.so' -delete
for extension in $extensions; do
  find "$build/csrc" -name "$extension*.so" -exec cp {} "$package/bioner_fast" \;
done

compiler=${CXX:-c++}
runtime=libasan.so
[ "$preset" = tsan ] && runtime=libtsan.so
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0:halt_on_error=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:suppressions=$PWD/tests/tsan.supp}
export PYTHONPATH=$package OMP_NUM_THREADS=1 BIONER_SANITIZED=1
# libstdc++ too: the runtime must find the real __cxa_throw before Python's own libraries load it.
LD_PRELOAD="$("$compiler" -print-file-name=$runtime) $("$compiler" -print-file-name=libstdc++.so)" \
  exec "$python" -m pytest -q -p no:cacheprovider "$@"
