// Every CUDA kernel on the CPU beside the CPU path and slow references.
//
//   cuda_host_cases WHAT SEED CASES [ORDERS]
//
// WHAT: viterbi, crf, window, bad (offsets, ids and tags), huge (more than 2^31 elements), long (CASES
// tokens). Exit status 1 where a result differs, 3 where a kernel misuses a barrier or a launch.
#include "cases.h"

namespace cases {

std::mt19937_64 randomness;
Index count = 0;
Index failures = 0;
std::string context;
int orders = 2;

namespace {
Index first_order = 0;
}

void fail(const std::string& what) {
  if (++failures <= 20) std::printf("FAIL %s | %s\n", what.c_str(), context.c_str());
}

void set_order(int turn) {
  using cuda_host::Order;
  if (turn == 0) ++first_order;
  cuda_host::settings.order = static_cast<Order>((first_order + turn) % cuda_host::kOrders);
  cuda_host::settings.seed = static_cast<unsigned>(randomness());
  // Few blocks, so that each takes several sentences; or as many as there is work for.
  cuda_host::settings.processors = coin() ? 1 : 132;
  cuda_host::settings.blocks_per_processor = coin() ? 1 : 16;
}

Array<Index> make_offsets(Index most) {
  std::vector<Index> offsets{0};
  const auto add = [&](Index length) { offsets.push_back(offsets.back() + length); };
  switch (below(6)) {
    case 0:  // single tokens
      for (Index b = 1 + below(most / 2 + 1); b > 0; --b) add(1);
      break;
    case 1:  // one long sentence
      add(1 + below(2 * most));
      break;
    case 2:  // no token
      for (Index b = below(4); b > 0; --b) add(0);
      break;
    case 3:  // empty sentences at both ends
      for (const Index length : {Index{0}, Index{0}, 1 + below(most), Index{1}, Index{0}, Index{0}})
        add(length);
      break;
    default: {
      const Index longest = std::max<Index>(1, most / (coin() ? 8 : 2));
      for (Index b = 1 + below(12); b > 0; --b) add(below(4) == 0 ? 0 : 1 + below(longest));
    }
  }
  Array<Index> made(static_cast<Index>(offsets.size()));
  std::copy(offsets.begin(), offsets.end(), made.data());
  return made;
}

void spoil(Array<Index>* offsets, Index tokens) {
  for (Index i = 0; i < offsets->size(); ++i) {
    switch (below(10)) {
      case 0:
        (*offsets)[i] = -below(1000);
        break;
      case 1:
        (*offsets)[i] = tokens + below(1000);
        break;
      case 2:
        (*offsets)[i] = std::numeric_limits<Index>::min() + below(3);
        break;
      case 3:
        (*offsets)[i] = std::numeric_limits<Index>::max() - below(3);
        break;
      case 4:
      case 5:
        (*offsets)[i] = below(tokens + 1);
        break;
      default:
        break;
    }
  }
}

Array<Index> last_of_many(Index first, Index tokens) {
  Array<Index> offsets(kMany + 1);
  std::fill_n(offsets.data(), kMany, first);
  offsets[0] = 0;
  offsets[kMany] = tokens;
  return offsets;
}

int any_tags() {
  static const int tags[] = {1,  2,  3,  5,  7,  8,  9,  16, 17, 25,  31,  32,  33,
                             47, 63, 64, 65, 73, 74, 75, 96, 97, 128, 129, 255, 256};
  // Small ones twice as often: there are more ways to compute them.
  return tags[coin() ? below(12) : below(26)];
}

void bad_contents(Index) {
  bad_viterbi();
  bad_crf();
  bad_window();
}

void huge() {
  huge_viterbi();
  huge_crf();
  huge_window();
}

}  // namespace cases

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: cuda_host_cases viterbi|crf|window|bad|huge|long|longest SEED CASES [ORDERS]\n",
               stderr);
    return 2;
  }
  const std::string what = argv[1];
  cases::randomness.seed(std::strtoull(argv[2], nullptr, 10));
  const cases::Index number = std::strtoll(argv[3], nullptr, 10);
  if (argc > 4) cases::orders = std::atoi(argv[4]);
  char device_stream = 0;  // an address of its own
  cuda_host::settings.stream = reinterpret_cast<cudaStream_t>(&device_stream);
  if (what == "huge") {
    cases::huge();
  } else if (what == "long" || what == "longest") {
    cases::crf_long(number, what == "long");
  } else {
    void (*const one)(cases::Index) = what == "viterbi"  ? cases::viterbi
                                      : what == "crf"    ? cases::crf
                                      : what == "window" ? cases::window
                                                         : cases::bad_contents;
    for (cases::Index i = 0; i < number; ++i) one(i);
  }
  std::printf("%s: %lld cases, %lld launches, %lld switches, at most %u blocks, %lld failures\n",
              what.c_str(), static_cast<long long>(cases::count),
              static_cast<long long>(cuda_host::counters.launches),
              static_cast<long long>(cuda_host::counters.switches), cuda_host::counters.most_blocks,
              static_cast<long long>(cases::failures));
  return cases::failures != 0;
}
