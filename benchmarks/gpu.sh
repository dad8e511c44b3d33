#!/usr/bin/env bash
# The one script for a GPU machine: builds from source, runs the GPU tests, compute-sanitizer and the benchmarks, and adds
# an entry to benchmarks/RESULTS.md. Needs nvcc, a C++20 compiler and a Python with a CUDA build of Torch.
#
#   benchmarks/gpu.sh [python]        # OUT=folder for raw results; SKIP_SANITIZER=1 leaves compute-sanitizer out
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
out=${OUT:-runs/gpu}
mkdir -p "$out"

"$python" -c 'import torch; assert torch.cuda.is_available(), "no CUDA device is visible to Torch"'
"$python" -m venv --system-site-packages "$out/venv"
py="$out/venv/bin/python"
constraints=(); [[ -f constraints.txt ]] && constraints=(-c constraints.txt)
"$py" -m pip install -q "scikit-build-core>=0.10" "pybind11>=2.13" cmake ninja
capability=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())')
"$py" -m pip install -q --no-build-isolation ".[test]" \
  -C cmake.define.BIONER_CUDA=ON -C cmake.define.BIONER_CUDA_ARCHITECTURES="$capability" "${constraints[@]}" ||
  "$py" -m pip install -q --no-deps --no-build-isolation . \
    -C cmake.define.BIONER_CUDA=ON -C cmake.define.BIONER_CUDA_ARCHITECTURES="$capability"
"$py" -m pip install -q thinc pytorch-crf || echo "some peers could not be installed" >&2

export BIONER_REQUIRE_CUDA=1
"$py" -m pytest -q tests/ops 2>&1 | tee "$out/tests.txt"

sanitizer="not run"
if [[ -z ${SKIP_SANITIZER:-} ]] && command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
      "$py" -m pytest -q tests/ops -k "cuda and (reference or gradient or gather) and not compile" 2>&1 |
      tee "$out/sanitizer-$tool.txt"
  done
  sanitizer="memcheck and racecheck without a finding"
fi

"$py" -m pytest -q benchmarks/bench_*.py --benchmark-json="$out/results.json" 2>&1 | tee "$out/benchmarks.txt"
"$py" benchmarks/report.py "$out/results.json" --out "$out"
{
  echo
  echo "## $("$python" -c 'import torch; print(torch.cuda.get_device_name())'), $(git rev-parse --short HEAD 2> /dev/null || echo unknown)"
  echo
  echo "Command: \`benchmarks/gpu.sh\`. Tests: $(tail -n 1 "$out/tests.txt"). compute-sanitizer: $sanitizer."
  echo
  cat "$out/table.md"
} >> benchmarks/RESULTS.md
echo "added an entry to benchmarks/RESULTS.md; raw results are in $out"
