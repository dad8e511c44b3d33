// Windows, Viterbi and CRF at every SIMD level from several threads at once, beside one scalar thread:
// windows and Viterbi bit for bit, the CRF within rounding. Where there are AMX tiles, steps of an mlp too,
// beside one thread of theirs. No Python, so that ThreadSanitizer sees nothing but this package's code, and
// so that it runs under an emulator of another processor:
//
//   cmake --preset tsan && cmake --build --preset tsan --target kernel_hammer &&
//   build/tsan/tests/native/kernel_hammer
//
// Arguments: rounds (default 20). Prints what ran; exit status 1 where a result differs.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/runtime/buffers.h"
#include "base/runtime/simd.h"
#include "ops/crf/crf.h"
#include "ops/viterbi/viterbi.h"
#include "ops/window/window.h"
#include "training/dense/dense.h"
#include "training/mlp/mlp.h"
#include "training/step/step.h"

namespace {

using namespace bioner;
using Bytes = std::vector<char>;

constexpr int kCallers = 3;      // threads that call ops
constexpr int kPoolThreads = 3;  // threads each op asks for

template <typename T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!bytes.empty()) memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

struct Input {
  std::int64_t tokens = 0;
  int tags = 0;
  int window = 0;
  std::int64_t width = 0;
  std::int64_t rows = 0;
  std::vector<std::int64_t> offsets{0}, ids, gold;
  std::vector<float> values, padding, grad, emissions, transitions, start, end, upstream;

  explicit Input(unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n)); };
    const int tag_sets[] = {1, 3, 5, 8, 9, 16, 25, 33, 65};
    tags = tag_sets[below(9)];
    window = static_cast<int>(2 * below(4) + 1);
    width = 1 + below(70);
    rows = 1 + below(40);
    for (std::int64_t b = 2 + below(60); b > 0; --b) {
      offsets.push_back(offsets.back() + (below(9) == 0 ? 0 : below(60)));
    }
    tokens = offsets.back();
    const auto fill = [&](std::vector<float>* to, std::int64_t n) {
      std::normal_distribution<float> normal;
      for (std::int64_t i = 0; i < n; ++i) to->push_back(normal(random));
    };
    fill(&values, tokens * width);
    fill(&padding, width);
    fill(&grad, tokens * window * width);
    fill(&emissions, tokens * tags);
    fill(&transitions, static_cast<std::int64_t>(tags) * tags);
    fill(&start, tags);
    fill(&end, tags);
    fill(&upstream, static_cast<std::int64_t>(offsets.size()) - 1);
    // Some transitions are forbidden.
    for (float& transition : transitions) {
      if (below(7) == 0) transition = -INFINITY;
    }
    for (std::int64_t i = 0; i < tokens; ++i) {
      ids.push_back(below(static_cast<int>(rows)));
      gold.push_back(below(tags));
    }
  }
};

// What one pass over the ops gives.
struct Output {
  std::vector<Bytes> exact;
  std::vector<std::vector<double>> close;
};

void windows(const Input& in, simd::Level level, int threads, Output* out) {
  const PackedOffsets sentences{in.offsets.data(), static_cast<std::int64_t>(in.offsets.size()) - 1,
                                in.tokens};
  const auto row_bytes = static_cast<std::int64_t>(in.width * sizeof(float));
  std::vector<float> gathered(in.grad.size()), looked_up(in.grad.size()), values(in.values.size());
  std::vector<float> table(in.values.begin(), in.values.end());
  table.resize(static_cast<std::size_t>(in.rows * in.width));
  window::gather({sentences, in.window, row_bytes, in.values.data(), nullptr, false, in.tokens,
                  in.padding.data(), gathered.data()},
                 level, threads);
  window::gather({sentences, in.window, row_bytes, table.data(), in.ids.data(), true, in.rows, nullptr,
                  looked_up.data()},
                 level, threads);
  window::grad_values({sentences, in.window, in.width, Scalar::kFloat32, in.grad.data(), values.data()},
                      level, threads);
  const auto blocks = static_cast<std::size_t>(window::block_count(in.tokens));
  std::vector<float> sums(blocks * in.padding.size()), padding(in.padding.size());
  window::grad_padding(
      {sentences, in.window, in.width, Scalar::kFloat32, in.grad.data(), sums.data(), padding.data()}, true,
      level, threads);
  std::vector<std::uint64_t> keys(in.ids.size()), scratch(in.ids.size());
  window::sort_keys(in.ids.data(), true, in.tokens, in.rows, keys.data(), scratch.data());
  const std::int64_t runs = window::run_count(keys.data(), in.tokens);
  const std::int64_t used = window::unique_rows(keys.data(), in.tokens, 0, false, nullptr);
  const bool apart = in.tokens == 0 || window::key_id(keys[0]) != 0;
  for (const bool sparse : {false, true}) {
    const auto key_blocks = static_cast<std::size_t>(window::key_block_count(in.tokens));
    std::vector<std::int64_t> run_rows(static_cast<std::size_t>(runs)), run_blocks(key_blocks + 1);
    std::vector<std::uint32_t> run_tokens(in.ids.size());
    std::vector<float> workspace(key_blocks * in.padding.size());
    std::vector<float> weight(static_cast<std::size_t>((sparse ? used + apart : in.rows) * in.width));
    window::grad_weight({sentences, in.window, in.width, Scalar::kFloat32, in.grad.data(), keys.data(), 0,
                         padding.data(), apart, workspace.data(), in.rows, weight.data()},
                        {sparse, run_rows.data(), run_blocks.data(), run_tokens.data()}, level, threads);
    out->exact.push_back(bytes_of(weight));
  }
  std::vector<std::int64_t> starts(in.ids.size());
  std::iota(starts.begin(), starts.end(), std::int64_t{0});
  std::vector<float> folded(static_cast<std::size_t>((in.tokens + in.window) * in.width));
  step::fold({in.tokens, in.tokens + in.window, in.window, in.width, Scalar::kFloat32, starts.data(),
              in.grad.data(), folded.data()},
             level, threads);
  for (const auto* made : {&gathered, &looked_up, &values, &padding, &folded})
    out->exact.push_back(bytes_of(*made));
}

void* aligned(std::vector<char>* memory, std::size_t bytes) {
  memory->resize(bytes + 64);
  return memory->data() + (64 - reinterpret_cast<std::uintptr_t>(memory->data()) % 64) % 64;
}

void chains(const Input& in, int threads, Output* out) {
  std::vector<char> memory;
  const auto sentences = static_cast<std::int64_t>(in.offsets.size()) - 1;
  for (const auto readout : {viterbi::Readout::kPath, viterbi::Readout::kForwardArgmax}) {
    std::vector<std::int64_t> tags(in.ids.size());
    std::vector<float> scores(static_cast<std::size_t>(sentences));
    const viterbi::Params<float> params{in.emissions.data(),
                                        in.transitions.data(),
                                        in.offsets.data(),
                                        in.start.data(),
                                        in.end.data(),
                                        tags.data(),
                                        scores.data(),
                                        in.tokens,
                                        sentences,
                                        in.tags,
                                        readout};
    const viterbi::CpuPlan plan = viterbi::plan_cpu(params, threads);
    viterbi::decode_cpu(params, plan, aligned(&memory, plan.workspace_bytes), threads);
    out->exact.push_back(bytes_of(tags));
    out->exact.push_back(bytes_of(scores));
  }
  const crf::Params<float> params{in.emissions.data(),
                                  in.transitions.data(),
                                  in.offsets.data(),
                                  in.start.data(),
                                  in.end.data(),
                                  in.gold.data(),
                                  in.tokens,
                                  sentences,
                                  in.tags};
  std::vector<float> likelihoods(static_cast<std::size_t>(sentences)), marginals(in.emissions.size());
  std::vector<float> emissions(in.emissions.size()), transitions(in.transitions.size()),
      start(in.start.size()), end(in.end.size());
  crf::CpuPlan plan = crf::plan_cpu(params, crf::Task::kLogLikelihood, threads);
  crf::log_likelihood_cpu(params, plan, aligned(&memory, plan.workspace_bytes), threads, likelihoods.data());
  plan = crf::plan_cpu(params, crf::Task::kMarginals, threads);
  crf::marginals_cpu(params, plan, aligned(&memory, plan.workspace_bytes), threads, marginals.data());
  plan = crf::plan_cpu(params, crf::Task::kGradients, threads);
  crf::gradients_cpu<float>(
      params, plan, aligned(&memory, plan.workspace_bytes), threads,
      {in.upstream.data(), emissions.data(), transitions.data(), start.data(), end.data()});
  for (const auto* made : {&likelihoods, &marginals, &emissions, &transitions, &start, &end}) {
    out->close.emplace_back(made->begin(), made->end());
  }
}

// What three steps leave of the weights.
std::vector<Bytes> steps(const Input& in, simd::Level level, int threads) {
  const std::int64_t hidden = 70;
  const std::int64_t inputs = in.window * in.width;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto drawn = [&](std::int64_t n) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& value : values) value = normal(random) / 8;
    return values;
  };
  std::vector<float> table = drawn(in.rows * in.width), weights = drawn(hidden * inputs),
                     bias = drawn(hidden), head = drawn(in.tags * hidden), head_bias = drawn(in.tags);
  std::vector<BFloat16> low(static_cast<std::size_t>(dense::blocks_values(hidden, inputs)));
  std::vector<std::int64_t> starts, words;
  for (std::int64_t n = 0; n + in.window <= in.tokens; n += n % 5 == 0 ? 2 : 1) starts.push_back(n);
  const auto tokens = static_cast<std::int64_t>(starts.size());
  const mlp::Places read = mlp::places(starts.data(), tokens, in.window);
  for (const std::int64_t place : read.places) words.push_back(in.ids[static_cast<std::size_t>(place)]);
  mlp::Step op{};
  op.tokens = tokens;
  op.rows = static_cast<std::int64_t>(words.size());
  op.window = in.window;
  op.words = in.width;
  op.hidden = hidden;
  op.tags = in.tags;
  op.starts = read.starts.data();
  op.word_ids = words.data();
  op.gold = in.gold.data();
  op.word_table = table.data();
  op.weights = weights.data();
  op.low = low.data();
  op.bias = bias.data();
  op.head_weights = head.data();
  op.head_bias = head_bias.data();
  op.factor = 1.0 / static_cast<double>(tokens);
  op.least = -16;
  op.rate = op.word_rate = 0.1;
  for (int i = 0; i < 3 && tokens > 0; ++i) mlp::step(op, level, threads);
  return {bytes_of(table), bytes_of(weights), bytes_of(bias), bytes_of(head), bytes_of(head_bias)};
}

Output run(const Input& in, simd::Level level, int threads) {
  Output out;
  windows(in, level, threads, &out);
  chains(in, threads, &out);
  const bool same = !dense::available() || steps(in, level, threads) == steps(in, level, 1);
  out.exact.push_back(Bytes{static_cast<char>(same)});
  return out;
}

// The place of the first difference; empty where there is none.
std::string difference(const Output& found, const Output& expected) {
  for (std::size_t i = 0; i < expected.exact.size(); ++i) {
    if (found.exact[i] != expected.exact[i]) return "exact result " + std::to_string(i);
  }
  for (std::size_t i = 0; i < expected.close.size(); ++i) {
    for (std::size_t k = 0; k < expected.close[i].size(); ++k) {
      const double a = found.close[i][k];
      const double b = expected.close[i][k];
      if (!(a == b || std::fabs(a - b) <= 1e-5 * (1 + std::fabs(b)))) {
        return "CRF result " + std::to_string(i) + " at " + std::to_string(k) + ": " + std::to_string(a) +
               " instead of " + std::to_string(b);
      }
    }
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : 20;
  int failures = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    const Input in(round);
    simd::force("scalar");
    const Output expected = run(in, simd::Level::kScalar, 1);
    for (const simd::Level level : simd::available()) {
      simd::force(simd::name(level));
      std::mutex mutex;
      std::vector<std::thread> callers;
      for (int caller = 0; caller < kCallers; ++caller) {
        callers.emplace_back([&, caller] {
          void* buffer = take_buffer(kRecycledBytes);
          if (buffer != nullptr) memset(buffer, caller, 4096);
          const std::string wrong = difference(run(in, level, kPoolThreads), expected);
          if (buffer != nullptr) give_buffer(buffer);
          if (wrong.empty()) return;
          const std::lock_guard<std::mutex> lock(mutex);
          std::fprintf(stderr, "round %u, %s, %d tags, window %d, width %lld: %s\n", round, simd::name(level),
                       in.tags, in.window, static_cast<long long>(in.width), wrong.c_str());
          ++failures;
        });
      }
      for (std::thread& caller : callers) caller.join();
    }
  }
  std::printf("%u rounds at", rounds);
  for (const simd::Level level : simd::available()) std::printf(" %s", simd::name(level));
  std::printf(", %d callers of %d threads: %d differences\n", kCallers, kPoolThreads, failures);
  return failures == 0 ? 0 : 1;
}
