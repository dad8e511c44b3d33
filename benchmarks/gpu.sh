#!/usr/bin/env bash
# The one script for a GPU machine: builds from source for its GPU, runs the GPU tests, compute-sanitizer and the
# benchmarks, and adds an entry to benchmarks/RESULTS.md. Needs nvcc, a C++20 compiler and a Python with a CUDA Torch.
#
#   benchmarks/gpu.sh [--dry-run] [python]
#
# --dry-run prints the commands and runs none of them. From the environment: OUT, a folder for raw results;
# BIONER_BENCHMARK_STEPS, steps of each timed training run (default 20000); SKIP_SANITIZER=1;
# BUDGET_S, seconds for the whole of it (default 520): a step whose time has come is cut short, the results that there
# are get written, and the exit status is not 0. Steps have limits of their own too, so that each gets its turn. The
# order is: build, quick tests, kernels, all tests, sanitizers, training and tagging, because the first minutes on such a
# machine are the sure ones. It ends with one table (gpu_table.py).
set -euo pipefail
cd "$(dirname "$0")/.."
dry=""
if [[ ${1:-} == --dry-run ]]; then dry=1; shift; fi
python=${1:-python3}
out=${OUT:-runs/gpu}
deadline=$((SECONDS + ${BUDGET_S:-520}))
failed=()

# do_step NAME SECONDS COMMAND...: runs it within the time left and its own, shows and keeps its output; notes a
# failure and goes on.
do_step() {
  local name=$1 own=$2
  shift 2
  if [[ -n $dry ]]; then
    printf '%s:' "$name"
    printf ' %q' "$@"
    printf '\n'
    return 0
  fi
  local left=$((deadline - SECONDS))
  if ((left < 5)); then
    failed+=("$name: no time left")
    return 1
  fi
  if ((left > own)); then left=$own; fi
  local status=0
  timeout --signal=INT --kill-after=10 "$left" "$@" > >(tee "$out/$name.txt") 2>&1 || status=$?
  if ((status != 0)); then failed+=("$name: status $status"); fi
  return "$status"
}

# must NAME SECONDS COMMAND...: the same, but nothing after it makes sense without it.
must() {
  do_step "$@" || {
    echo "gpu.sh: $1 failed, see $out/$1.txt" >&2
    exit 1
  }
}

capability=90
device="GPU (dry run)"
if [[ -z $dry ]]; then
  mkdir -p "$out"
  command -v nvcc > /dev/null || { echo "gpu.sh: nvcc is not on PATH" >&2; exit 1; }
  capability=$("$python" -c 'import torch
assert torch.cuda.is_available(), "no CUDA device is visible to Torch"
print("%d%d" % torch.cuda.get_device_capability())')
  device=$("$python" -c 'import torch; print(torch.cuda.get_device_name())')
fi
py="$out/venv/bin/python"
constraints=()
# The Torch of the machine stays: a CUDA build that fits its driver. Its pin would replace it.
if [[ -f constraints.txt && -z $dry ]]; then
  grep -v '^torch==' constraints.txt > "$out/constraints.txt"
  constraints=(-c "$out/constraints.txt")
fi

must venv 60 "$python" -m venv --system-site-packages "$out/venv"
must tools 120 "$py" -m pip install -q "scikit-build-core>=0.10" "pybind11>=2.13" cmake ninja \
  pytest pytest-benchmark hypothesis "${constraints[@]}"
must build 240 "$py" -m pip install -q --no-build-isolation . \
  -C cmake.define.BIONER_CUDA=ON -C cmake.define.BIONER_CUDA_ARCHITECTURES="$capability" "${constraints[@]}"
must peers 60 "$py" -m pip install -q pytorch-crf "${constraints[@]}"

export BIONER_REQUIRE_CUDA=1 BIONER_REQUIRE_PEERS=1
# From outside the source tree's python/: the installed package is what is tested.
must quick-tests 120 "$py" -m pytest -q -x -p no:cacheprovider tests/ops \
  -k "cuda and (reference or bit_for_bit or stream) and not compile"
do_step kernels 90 "$py" -m pytest -q -p no:cacheprovider benchmarks/bench_gpu.py -k "kernels or gather or viterbi" \
  --benchmark-json="$out/kernels.json" || true
do_step tests 90 "$py" -m pytest -q -p no:cacheprovider tests/ops tests/tagging tests/training -k cuda || true
if [[ -z ${SKIP_SANITIZER:-} ]]; then
  for tool in memcheck racecheck; do
    # Small shapes: a sanitizer is a hundred times slower.
    do_step "sanitizer-$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
      "$py" -m pytest -q -p no:cacheprovider tests/ops \
      -k "cuda and (every_device or forbidden or (gather_equals or gradient_of_weight) and float32)" || true
  done
fi
do_step training-and-tagging 200 "$py" -m pytest -q -p no:cacheprovider benchmarks/bench_gpu.py -k "training or tagging" \
  --benchmark-json="$out/training-and-tagging.json" || true

[[ -n $dry ]] && exit 0
"$py" benchmarks/gpu_table.py "$out" > "$out/summary.md"
{
  echo
  echo "## $(date +%F), $device, $(git rev-parse --short HEAD 2> /dev/null || echo unknown)"
  echo
  echo "Command: \`benchmarks/gpu.sh\`."
  if ((${#failed[@]})); then printf '\nFailed: %s\n' "$(IFS=';'; echo "${failed[*]}")"; fi
  echo
  cat "$out/summary.md"
} | tee "$out/entry.md" >> benchmarks/RESULTS.md
cat "$out/summary.md"
echo "added an entry to benchmarks/RESULTS.md; raw results are in $out"
if ((${#failed[@]})); then
  printf 'gpu.sh: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
