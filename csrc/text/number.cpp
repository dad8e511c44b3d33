#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "base/runtime/thread_pool.h"
#include "text/vectors.h"

namespace bioner {

namespace {

constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

float narrow(double value) {
  // A conversion out of float's range is undefined; Python's float32 gives an infinity.
  constexpr double kMax = 3.4028235677973366e38;  // the largest float plus half a unit in its last place
  if (value >= kMax) return std::numeric_limits<float>::infinity();
  if (value <= -kMax) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(value);
}

// A number that is out of double's range: 0 or an infinity, by where its first digit that is not 0 stands.
double beyond(const char* p, const char* end) {
  const bool negative = *p == '-';
  bool started = false, fraction = false;
  std::int64_t magnitude = 0, exponent = 0;
  for (p += negative; p < end && *p != 'e' && *p != 'E'; ++p) {
    started |= *p >= '1' && *p <= '9';
    if (*p == '.') {
      fraction = true;
    } else if (started != fraction) {
      magnitude += started ? 1 : -1;
    }
  }
  if (p < end) {
    const bool below = ++p < end && *p == '-';
    for (p += p < end && (*p == '-' || *p == '+'); p < end; ++p) {
      exponent = std::min<std::int64_t>(exponent * 10 + (*p - '0'), std::int64_t{1} << 40);
    }
    if (below) exponent = -exponent;
  }
  const double value = magnitude + exponent > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  return negative ? -value : value;
}

// Correctly rounded, whatever the locale.
const char* parse_slowly(const char* p, const char* end, float& value) {
  double number = 0;
#if defined(__cpp_lib_to_chars)
  const char* const start = p < end && *p == '+' ? p + 1 : p;
  if (start < end && (*start == '+' || (start != p && *start == '-'))) return nullptr;
  const auto [rest, error] = std::from_chars(start, end, number);
  if (error == std::errc::invalid_argument) return nullptr;
  if (error == std::errc::result_out_of_range) number = beyond(start, rest);
  value = narrow(number);
  return rest;
#else
  const char* stop = p;
  while (stop < end && stop - p < 512 && *stop > ' ') ++stop;
  const std::string copy(p, stop);
  if (copy.find_first_of("xX") != std::string::npos) return nullptr;
  char* rest = nullptr;
  number = std::strtod(copy.c_str(), &rest);
  if (rest == copy.c_str()) return nullptr;
  value = narrow(number);
  return p + (rest - copy.c_str());
#endif
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

const char* parse_number(const char* p, const char* end, float& value) {
  // Up to 19 digits with a small power of ten: the digits as an integer below 2^53 and the power are exact
  // doubles, so one multiplication or division rounds correctly (Clinger). The rest is left to the library.
  const char* q = p;
  const bool negative = q < end && *q == '-';
  if (q < end && (*q == '-' || *q == '+')) ++q;
  std::uint64_t mantissa = 0;
  int digits = 0, exponent = 0;
  const auto take = [&](int scale) {
    for (; q < end && is_digit(*q); ++q, ++digits, exponent += scale) {
      if (digits < 19) mantissa = mantissa * 10 + static_cast<std::uint64_t>(*q - '0');
    }
  };
  take(0);
  if (q < end && *q == '.') {
    ++q;
    take(-1);
  }
  if (digits == 0) return parse_slowly(p, end, value);  // nan, inf, or nothing
  if (q < end && (*q == 'e' || *q == 'E')) {
    const char* r = q + 1;
    const bool below = r < end && *r == '-';
    if (r < end && (*r == '-' || *r == '+')) ++r;
    if (r < end && is_digit(*r)) {
      int given = 0;
      for (; r < end && is_digit(*r); ++r) {
        if (given < 10000) given = given * 10 + (*r - '0');
      }
      exponent += below ? -given : given;
      q = r;
    }
  }
  if (digits > 19 || mantissa > (1ULL << 53) || exponent < -22 || exponent > 22)
    return parse_slowly(p, end, value);
  double number = static_cast<double>(mantissa);
  number = exponent < 0 ? number / kPowers[-exponent] : number * kPowers[exponent];
  value = narrow(negative ? -number : number);
  return q;
}

namespace {

// Appends the shortest digits that read back as `value`.
void append_number(float value, std::string& out) {
  char digits[32];
#if defined(__cpp_lib_to_chars)
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  if (error == std::errc()) out.append(digits, end);
#else
  const int n = std::snprintf(digits, sizeof(digits), "%.9g", static_cast<double>(value));
  for (int i = 0; i < n; ++i) out.push_back(digits[i] == ',' ? '.' : digits[i]);  // some locales have a comma
#endif
}

}  // namespace

std::string format_vectors(PackedStrings words, const float* rows, std::int64_t dim, bool binary,
                           std::string_view end, int threads) {
  constexpr std::int64_t kRows = 256;
  const std::int64_t blocks = (words.size + kRows - 1) / kRows;
  std::vector<std::string> parts(static_cast<std::size_t>(blocks));
  parallel_for(blocks, 1, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) {
      std::string& out = parts[static_cast<std::size_t>(b)];
      for (std::int64_t i = b * kRows; i < std::min(words.size, (b + 1) * kRows); ++i) {
        out.append(words[i]);
        if (binary) {
          out.push_back(' ');
          out.append(reinterpret_cast<const char*>(rows + i * dim),
                     static_cast<std::size_t>(dim) * sizeof(float));
        } else {
          for (std::int64_t j = 0; j < dim; ++j) {
            out.push_back(' ');
            append_number(rows[i * dim + j], out);
          }
        }
        out.append(end);
      }
    }
  });
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}

}  // namespace bioner
