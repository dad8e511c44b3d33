// Viterbi: tags and scores are those of the CPU and of a slow reference, bit for bit.
#include <tuple>

#include "cases.h"
#include "ops/viterbi/viterbi.h"

namespace cases {
namespace {

using bioner::viterbi::CpuPlan;
using bioner::viterbi::Params;
using bioner::viterbi::Readout;

template <typename T>
struct Input {
  int tags;
  Array<Index> offsets;
  Index tokens, sentences;
  Array<T> emissions, transitions, start, end;
  bool has_start = coin(), has_end = coin();
  Readout readout;

  Input(int tags_, Index most, Readout readout_)
      : tags(tags_),
        offsets(make_offsets(most)),
        tokens(offsets[offsets.size() - 1]),
        sentences(offsets.size() - 1),
        emissions(tokens * tags),
        transitions(Index{tags} * tags),
        start(tags),
        end(tags),
        readout(readout_) {
    const Kind kind = any_kind();
    fill(&emissions, below(3) == 0 ? Kind::kNormal : kind);
    fill(&transitions, kind);
    fill(&start, kind);
    fill(&end, coin() ? Kind::kNormal : kind);
    context = "viterbi, float" + std::to_string(8 * sizeof(T)) + ", " + std::to_string(tags) +
              " tags, kind " + std::to_string(static_cast<int>(kind)) + ", " + std::to_string(tokens) +
              " tokens, " + std::to_string(sentences) + " sentences, readout " +
              std::to_string(static_cast<int>(readout));
  }

  Params<T> params(Array<Index>* out_tags, Array<T>* out_scores) const {
    return {emissions.data(),
            transitions.data(),
            offsets.data(),
            has_start ? start.data() : nullptr,
            has_end ? end.data() : nullptr,
            out_tags->data(),
            out_scores->data(),
            tokens,
            sentences,
            tags,
            readout};
  }
};

// From the definition in viterbi.h.
template <typename T>
void reference(const Input<T>& in, Array<Index>* tags, Array<T>* scores) {
  const int k = in.tags;
  const auto argmax = [&](const std::vector<double>& values) {
    double best = -kInfinity;
    int at = 0;
    for (int j = 0; j < k; ++j) {
      if (values[static_cast<std::size_t>(j)] > best) best = values[static_cast<std::size_t>(at = j)];
    }
    return std::make_pair(best, at);
  };
  for (Index b = 0; b < in.sentences; ++b) {
    const Index begin = in.offsets[b];
    const Index length = in.offsets[b + 1] - begin;
    (*scores)[b] = T(0);
    if (length == 0) continue;
    std::vector<std::vector<int>> from(static_cast<std::size_t>(length),
                                       std::vector<int>(static_cast<std::size_t>(k)));
    std::vector<double> alpha(static_cast<std::size_t>(k)), candidates(alpha);
    for (Index t = 0; t < length; ++t) {
      std::vector<double> next(static_cast<std::size_t>(k));
      for (int j = 0; j < k; ++j) {
        const std::size_t to = static_cast<std::size_t>(j);
        double before = in.has_start ? static_cast<double>(in.start[j]) : 0.0;
        if (t > 0) {
          for (int i = 0; i < k; ++i) {
            candidates[static_cast<std::size_t>(i)] =
                alpha[static_cast<std::size_t>(i)] + static_cast<double>(in.transitions[Index{i} * k + j]);
          }
          std::tie(before, from[static_cast<std::size_t>(t)][to]) = argmax(candidates);
        }
        next[to] = static_cast<double>(in.emissions[(begin + t) * k + j]) + before;
      }
      alpha = next;
      (*tags)[begin + t] = argmax(alpha).second;
    }
    for (int j = 0; j < k; ++j) {
      candidates[static_cast<std::size_t>(j)] =
          alpha[static_cast<std::size_t>(j)] + (in.has_end ? static_cast<double>(in.end[j]) : 0.0);
    }
    const auto [score, last] = argmax(candidates);
    (*scores)[b] = static_cast<T>(score);
    (*tags)[begin + length - 1] = last;
    for (Index t = length - 1; in.readout == Readout::kPath && t > 0; --t) {
      (*tags)[begin + t - 1] =
          from[static_cast<std::size_t>(t)][static_cast<std::size_t>((*tags)[begin + t])];
    }
  }
}

Index most_tokens(int tags) { return tags > 64 ? 16 : (tags > 32 ? 40 : 100); }

template <typename T>
int decode(const Params<T>& params) {
  Array<std::uint8_t> workspace(
      static_cast<Index>(bioner::viterbi::cuda_workspace_bytes(params.tokens, params.tags)));
  return bioner::viterbi::decode_cuda(params, workspace.data(), stream());
}

template <typename T>
void one(Readout readout) {
  const int tags = any_tags();
  const Input<T> in(tags, most_tokens(tags), readout);
  Array<Index> slow_tags(in.tokens), cpu_tags(in.tokens), tags_out(in.tokens);
  Array<T> slow_scores(in.sentences), cpu_scores(in.sentences), scores_out(in.sentences);
  reference(in, &slow_tags, &slow_scores);
  const Params<T> on_cpu = in.params(&cpu_tags, &cpu_scores);
  const CpuPlan plan = bioner::viterbi::plan_cpu(on_cpu, 1);
  Workspace workspace;
  bioner::viterbi::decode_cpu(on_cpu, plan, workspace.of(plan.workspace_bytes), 1);
  if (!slow_tags.same_bits(cpu_tags) || !slow_scores.same_bits(cpu_scores))
    fail("the CPU is not the reference");
  for (int turn = 0; turn < orders; ++turn) {
    set_order(turn);
    tags_out.poison();
    scores_out.poison();
    if (decode(in.params(&tags_out, &scores_out)) != 0) fail("launch");
    if (!slow_tags.same_bits(tags_out)) fail("tags");
    if (!slow_scores.same_bits(scores_out)) fail("scores");
  }
  ++count;
}

template <typename T>
void bad(Readout readout) {
  const int tags = any_tags();
  Input<T> in(tags, most_tokens(tags), readout);
  spoil(&in.offsets, in.tokens);
  context += ", bad offsets";
  set_order(0);
  Array<Index> tags_out(in.tokens);
  Array<T> scores_out(in.sentences);
  if (decode(in.params(&tags_out, &scores_out)) != 0) fail("launch");
  for (Index t = 0; t < in.tokens; ++t) {
    if (tags_out[t] < 0 || tags_out[t] >= tags) {
      fail("tag " + std::to_string(tags_out[t]) + " of token " + std::to_string(t));
      break;
    }
  }
  Array<T> unwritten(1);
  for (Index b = 0; b < in.sentences; ++b) {
    if (std::memcmp(&scores_out[b], unwritten.data(), sizeof(T)) == 0) fail("an unwritten score");
  }
  ++count;
}

}  // namespace

void viterbi(Index) {
  one<float>(coin() ? Readout::kPath : Readout::kForwardArgmax);
  one<double>(coin() ? Readout::kPath : Readout::kForwardArgmax);
}

void bad_viterbi() {
  bad<float>(coin() ? Readout::kPath : Readout::kForwardArgmax);
  bad<double>(coin() ? Readout::kPath : Readout::kForwardArgmax);
}

// The last sentence of a batch whose arrays have more than 2^32 elements, beside that sentence alone.
void huge_viterbi() {
  for (const int tags : {5, 12, 32, 40, 256}) {
    const Index tokens = (Index{5} << 30) / tags;
    const Index length = 70;
    const Index first = tokens - length;
    context = "viterbi, more than 2^32 elements, " + std::to_string(tags) + " tags";
    Huge<float> emissions(tokens * tags);
    Huge<std::uint8_t> back(tokens * tags);
    Huge<Index> out(tokens);
    Array<float> last(length * tags), transitions(Index{tags} * tags), scores(kMany), score(1);
    fill(&last, Kind::kNormal);
    fill(&transitions, Kind::kNormal);
    std::copy_n(last.data(), last.size(), emissions.data() + first * tags);
    const Array<Index> offsets = last_of_many(first, tokens);
    Array<Index> alone(2), want(length);
    alone[0] = 0;
    alone[1] = length;
    const Params<float> whole{emissions.data(), transitions.data(), offsets.data(), nullptr, nullptr,
                              out.data(),       scores.data(),      tokens,         kMany,   tags,
                              Readout::kPath};
    const Params<float> part{last.data(),   transitions.data(), alone.data(), nullptr, nullptr,
                             want.data(),   score.data(),       length,       1,       tags,
                             Readout::kPath};
    cuda_host::settings.processors = 132;
    cuda_host::settings.first_block = 1;
    if (bioner::viterbi::decode_cuda(whole, back.data(), stream()) != 0) fail("launch");
    cuda_host::settings.first_block = 0;
    if (decode(part) != 0) fail("launch");
    if (scores[kMany - 1] != score[0]) fail("score");
    if (std::memcmp(want.data(), out.data() + first, want.bytes()) != 0) fail("tags");
    ++count;
  }
}

}  // namespace cases
