// The CRF: log-likelihoods, marginals and gradients are those of the CPU within rounding, and NaN, infinities
// and zeros where it has them; the same input gives the same bits in every order of threads.
#include "cases.h"
#include "ops/crf/crf.h"

namespace cases {
namespace {

using bioner::crf::CpuPlan;
using bioner::crf::Gradients;
using bioner::crf::Params;
using bioner::crf::Task;

template <typename T>
struct Outputs {
  Array<T> likelihood, marginals, emissions, transitions, start, end;

  Outputs(Index tokens, Index sentences, int tags)
      : likelihood(sentences),
        marginals(tokens * tags),
        emissions(tokens * tags),
        transitions(Index{tags} * tags),
        start(tags),
        end(tags) {}

  Gradients<T> gradients(const Array<T>& upstream, bool pairs) {
    return {upstream.data(), emissions.data(), pairs ? transitions.data() : nullptr, start.data(),
            end.data()};
  }
};

template <typename T>
struct Input {
  int tags;
  Array<Index> offsets;
  Index tokens, sentences;
  Array<T> emissions, transitions, start, end, upstream;
  Array<Index> gold;
  bool has_start = coin(), has_end = coin(), pairs = below(4) != 0;

  Input(int tags_, Array<Index> offsets_, Kind kind)
      : tags(tags_),
        offsets(std::move(offsets_)),
        tokens(offsets[offsets.size() - 1]),
        sentences(offsets.size() - 1),
        emissions(tokens * tags),
        transitions(Index{tags} * tags),
        start(tags),
        end(tags),
        upstream(sentences),
        gold(tokens) {
    const auto some = [&] { return coin() ? kind : Kind::kNormal; };
    fill(&emissions, some());
    fill(&transitions, some());
    fill(&start, some());
    fill(&end, some());
    fill(&upstream, Kind::kSignedZeros);
    for (Index t = 0; t < tokens; ++t) gold[t] = below(tags);
    context = "crf, float" + std::to_string(8 * sizeof(T)) + ", " + std::to_string(tags) + " tags, kind " +
              std::to_string(static_cast<int>(kind)) + ", " + std::to_string(tokens) + " tokens, " +
              std::to_string(sentences) + " sentences";
  }

  Params<T> params() const {
    return {emissions.data(),
            transitions.data(),
            offsets.data(),
            has_start ? start.data() : nullptr,
            has_end ? end.data() : nullptr,
            gold.data(),
            tokens,
            sentences,
            tags};
  }
};

template <typename T>
void on_cpu(const Input<T>& in, Outputs<T>* out) {
  const Params<T> params = in.params();
  Workspace workspace;
  const auto run = [&](Task task, const auto& work) {
    const CpuPlan plan = bioner::crf::plan_cpu(params, task, 1);
    work(plan, workspace.of(plan.workspace_bytes));
  };
  run(Task::kLogLikelihood, [&](const CpuPlan& plan, void* memory) {
    bioner::crf::log_likelihood_cpu(params, plan, memory, 1, out->likelihood.data());
  });
  run(Task::kMarginals, [&](const CpuPlan& plan, void* memory) {
    bioner::crf::marginals_cpu(params, plan, memory, 1, out->marginals.data());
  });
  run(Task::kGradients, [&](const CpuPlan& plan, void* memory) {
    bioner::crf::gradients_cpu(params, plan, memory, 1, out->gradients(in.upstream, in.pairs));
  });
}

template <typename T>
void on_cuda(const Input<T>& in, Outputs<T>* out) {
  const Params<T> params = in.params();
  const auto workspace = [&](Task task) {
    return Array<char>(static_cast<Index>(
        bioner::crf::cuda_workspace_bytes(params.tokens, params.sentences, params.tags, task)));
  };
  int status = bioner::crf::log_likelihood_cuda(params, stream(), out->likelihood.data());
  Array<char> rows = workspace(Task::kMarginals);
  status |= bioner::crf::marginals_cuda(params, rows.data(), stream(), out->marginals.data());
  Array<char> sums = workspace(Task::kGradients);
  status |= bioner::crf::gradients_cuda(params, sums.data(), stream(), out->gradients(in.upstream, in.pairs));
  if (status != 0) fail("launch");
}

// Both NaN, both the same infinity, or close in the scale of their size.
bool close(double want, double found, double tolerance) {
  if (want == found || (want != want && found != found)) return true;
  return std::fabs(want - found) <= tolerance * std::max({1.0, std::fabs(want), std::fabs(found)});
}

template <typename T>
void compare(const char* name, const Array<T>& want, const Array<T>& found, double tolerance) {
  for (Index i = 0; i < want.size(); ++i) {
    const double a = static_cast<double>(want[i]);
    const double b = static_cast<double>(found[i]);
    if (close(a, b, tolerance)) continue;
    char text[160];
    std::snprintf(text, sizeof text, "%s[%lld]: %.17g, found %.17g", name, static_cast<long long>(i), a, b);
    fail(text);
    return;
  }
}

template <typename T>
void compare(const Outputs<T>& want, const Outputs<T>& found, bool pairs, double tolerance) {
  compare("log-likelihood", want.likelihood, found.likelihood, tolerance);
  compare("marginals", want.marginals, found.marginals, tolerance);
  compare("emissions", want.emissions, found.emissions, 10 * tolerance);
  compare("start", want.start, found.start, 10 * tolerance);
  compare("end", want.end, found.end, 10 * tolerance);
  if (pairs) compare("transitions", want.transitions, found.transitions, 30 * tolerance);
}

template <typename T>
constexpr double kTolerance = sizeof(T) == 4 ? 3e-6 : 1e-10;

template <typename T>
bool same_bits(const Outputs<T>& one, const Outputs<T>& other, bool pairs) {
  return same_values(one.likelihood, other.likelihood) && same_values(one.marginals, other.marginals) &&
         same_values(one.emissions, other.emissions) && same_values(one.start, other.start) &&
         same_values(one.end, other.end) && (!pairs || same_values(one.transitions, other.transitions));
}

template <typename T>
void one() {
  const int tags = any_tags();
  const Index most = tags > 64 ? 8 : (tags > 32 ? 24 : 70);
  const Input<T> in(tags, make_offsets(most), any_kind());
  Outputs<T> want(in.tokens, in.sentences, tags);
  on_cpu(in, &want);
  std::vector<Outputs<T>> found;
  for (int turn = 0; turn < orders; ++turn) {
    set_order(turn);
    found.emplace_back(in.tokens, in.sentences, tags);
    on_cuda(in, &found.back());
    compare(want, found.back(), in.pairs, kTolerance<T>);
    if (!same_bits(found.front(), found.back(), in.pairs)) fail("other bits in another order of threads");
  }
  ++count;
}

// All paths, in long double.
template <typename T>
void enumerated() {
  const int tags = 1 + static_cast<int>(below(4));
  const Index tokens = 1 + below(6);
  Array<Index> offsets(2);
  offsets[0] = 0;
  offsets[1] = tokens;
  Input<T> in(tags, std::move(offsets), coin() ? Kind::kForbidden : Kind::kNormal);
  in.has_start = in.has_end = in.pairs = true;
  context += ", all paths";
  Outputs<T> want(tokens, 1, tags);
  std::vector<long double> marginals(static_cast<std::size_t>(tokens * tags));
  std::vector<long double> pairs(static_cast<std::size_t>(tags * tags));
  long double total = 0;
  long double gold = -kInfinity;
  Index paths = 1;
  for (Index t = 0; t < tokens; ++t) paths *= tags;
  for (Index path = 0; path < paths; ++path) {
    std::vector<std::size_t> at(static_cast<std::size_t>(tokens));
    Index rest = path;
    bool is_gold = true;
    long double score = 0;
    for (Index t = 0; t < tokens; ++t, rest /= tags) {
      const Index tag = rest % tags;
      at[static_cast<std::size_t>(t)] = static_cast<std::size_t>(tag);
      is_gold = is_gold && tag == in.gold[t];
      score += in.emissions[t * tags + tag];
      score += t == 0 ? in.start[tag]
                      : in.transitions[static_cast<Index>(at[static_cast<std::size_t>(t - 1)]) * tags + tag];
    }
    score += in.end[static_cast<Index>(at.back())];
    const long double weight = std::exp(score);
    total += weight;
    if (is_gold) gold = score;
    for (std::size_t t = 0; t < at.size(); ++t) {
      marginals[t * static_cast<std::size_t>(tags) + at[t]] += weight;
      if (t > 0) pairs[at[t - 1] * static_cast<std::size_t>(tags) + at[t]] += weight;
    }
  }
  const bool possible = gold > -kInfinity;
  const double upstream = static_cast<double>(in.upstream[0]);
  want.likelihood[0] = static_cast<T>(possible ? gold - std::log(total) : gold);
  for (Index t = 0; t < tokens; ++t) {
    for (int j = 0; j < tags; ++j) {
      const double share =
          total > 0 ? static_cast<double>(marginals[static_cast<std::size_t>(t * tags + j)] / total) : 0.0;
      const double gradient = possible ? upstream * ((in.gold[t] == j ? 1.0 : 0.0) - share) : 0.0;
      want.marginals[t * tags + j] = static_cast<T>(share);
      want.emissions[t * tags + j] = static_cast<T>(gradient);
      if (t == 0) want.start[j] = static_cast<T>(gradient);
      if (t + 1 == tokens) want.end[j] = static_cast<T>(gradient);
    }
  }
  for (int i = 0; i < tags; ++i) {
    for (int j = 0; j < tags; ++j) {
      double gradient = 0;
      for (Index t = 1; t < tokens; ++t) gradient += in.gold[t - 1] == i && in.gold[t] == j ? 1 : 0;
      if (total > 0) gradient -= static_cast<double>(pairs[static_cast<std::size_t>(i * tags + j)] / total);
      want.transitions[Index{i} * tags + j] = static_cast<T>(possible ? upstream * gradient : 0.0);
    }
  }
  set_order(0);
  Outputs<T> found(tokens, 1, tags);
  on_cuda(in, &found);
  compare(want, found, true, sizeof(T) == 4 ? 3e-6 : 1e-12);
  ++count;
}

// More sentences than blocks that keep sums.
template <typename T>
void many_sentences() {
  cuda_host::settings.caps["kMostPartials"] = 2;
  one<T>();
  cuda_host::settings.caps.clear();
}

template <typename T>
void bad() {
  const int tags = any_tags();
  Input<T> in(tags, make_offsets(tags > 64 ? 12 : 40), Kind::kForbidden);
  if (coin()) spoil(&in.offsets, in.tokens);
  for (Index t = 0; t < in.tokens; ++t) {
    if (below(4) == 0) in.gold[t] = static_cast<Index>(randomness());
  }
  context += ", bad contents";
  set_order(0);
  Outputs<T> found(in.tokens, in.sentences, tags);
  on_cuda(in, &found);
  Array<T> unwritten(1);
  const auto written = [&](const char* name, const Array<T>& values) {
    for (Index i = 0; i < values.size(); ++i) {
      if (std::memcmp(&values[i], unwritten.data(), sizeof(T)) == 0) {
        fail(std::string(name) + "[" + std::to_string(i) + "] is unwritten");
        return;
      }
    }
  };
  written("log-likelihood", found.likelihood);
  written("marginals", found.marginals);
  written("emissions", found.emissions);
  if (in.pairs) written("transitions", found.transitions);
  written("start", found.start);
  written("end", found.end);
  ++count;
}

// How far rows of marginals miss 1.
double miss(const Array<double>& marginals, int tags) {
  double worst = 0;
  for (Index t = 0; t * tags < marginals.size(); ++t) {
    double sum = 0;
    for (int j = 0; j < tags; ++j) sum += marginals[t * tags + j];
    const double off = std::fabs(sum - 1);
    if (!(off <= worst)) worst = off;
  }
  return worst;
}

}  // namespace

void crf(Index number) {
  one<float>();
  one<double>();
  enumerated<double>();
  if (number % 3 == 0) enumerated<float>();
  if (number % 3 == 1) many_sentences<double>();
}

void bad_crf() {
  bad<float>();
  bad<double>();
}

// One long sentence in float64: its rows of marginals sum to 1, and everything is what the CPU has.
void crf_long(Index tokens, bool all) {
  for (const auto& [scale, forbidden] : {std::pair{30.0, 0.0}, {1.0, 0.0}, {1000.0, 0.0}, {1.0, -10000.0}}) {
    if (!all && scale != 30.0) continue;
    const int tags = 5;
    Array<Index> offsets(2);
    offsets[0] = 0;
    offsets[1] = tokens;
    Input<double> in(tags, std::move(offsets), Kind::kNormal);
    in.pairs = true;
    in.upstream[0] = 1;
    for (Index i = 0; i < in.emissions.size(); ++i) in.emissions[i] = scale + 0.5 * in.emissions[i];
    if (forbidden != 0) in.transitions[1] = in.transitions[7] = forbidden;
    Outputs<double> want(tokens, 1, tags), found(tokens, 1, tags);
    on_cpu(in, &want);
    set_order(0);
    on_cuda(in, &found);
    context = "one sentence of " + std::to_string(tokens) + " tokens, emissions around " +
              std::to_string(scale) + ", forbidden transitions " + std::to_string(forbidden);
    const double cpu = miss(want.marginals, tags);
    const double cuda = miss(found.marginals, tags);
    if (!(cuda <= 1e-12)) fail("rows of marginals miss 1");
    compare(want, found, true, 1e-11);
    std::printf("%s: rows of marginals miss 1 by at most %.1e (CPU %.1e), log-likelihood by %.1e\n",
                context.c_str(), cuda, cpu, std::fabs(want.likelihood[0] - found.likelihood[0]));
    ++count;
  }
}

// The last sentence of a batch whose arrays have more than 2^31 elements, beside that sentence alone.
void huge_crf() {
  for (const int tags : {5, 40, 256}) {
    const Index tokens = (Index{5} << 29) / tags;
    const Index length = 40;
    const Index first = tokens - length;
    context = "crf, more than 2^31 elements, " + std::to_string(tags) + " tags";
    Array<Index> alone(2);
    alone[0] = 0;
    alone[1] = length;
    const Input<float> in(tags, std::move(alone), Kind::kNormal);
    context = "crf, more than 2^31 elements, " + std::to_string(tags) + " tags";
    Outputs<float> want(length, 1, tags), found(0, kMany, tags);
    set_order(0);
    on_cuda(in, &want);
    const Array<Index> offsets = last_of_many(first, tokens);
    Huge<float> emissions(tokens * tags), marginals(tokens * tags), gradients(tokens * tags);
    Huge<Index> gold(tokens);
    std::copy_n(in.emissions.data(), in.emissions.size(), emissions.data() + first * tags);
    std::copy_n(in.gold.data(), length, gold.data() + first);
    Params<float> params = in.params();
    params.emissions = emissions.data();
    params.offsets = offsets.data();
    params.gold = gold.data();
    params.tokens = tokens;
    params.sentences = kMany;
    Array<float> upstream(kMany);
    for (Index b = 0; b < kMany; ++b) upstream[b] = in.upstream[0];
    Huge<char> workspace(
        static_cast<Index>(bioner::crf::cuda_workspace_bytes(tokens, kMany, tags, Task::kGradients)));
    cuda_host::settings.processors = 132;
    cuda_host::settings.first_block = 1;
    int status = bioner::crf::log_likelihood_cuda(params, stream(), found.likelihood.data());
    status |= bioner::crf::marginals_cuda(params, workspace.data(), stream(), marginals.data());
    status |= bioner::crf::gradients_cuda(params, workspace.data(), stream(),
                                          {upstream.data(), gradients.data(), nullptr, nullptr, nullptr});
    cuda_host::settings.first_block = 0;
    if (status != 0) fail("launch");
    if (want.likelihood[0] != found.likelihood[kMany - 1]) fail("log-likelihood");
    const std::size_t bytes = want.marginals.bytes();
    if (std::memcmp(want.marginals.data(), marginals.data() + first * tags, bytes) != 0) fail("marginals");
    if (std::memcmp(want.emissions.data(), gradients.data() + first * tags, bytes) != 0) fail("emissions");
    ++count;
  }
}

}  // namespace cases
