#include "text/vectors.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/runtime/thread_pool.h"
#include "text/text_error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace bioner {

namespace {

// A longer "word" is a sign that the entries are not where the header says.
constexpr std::size_t kMaxWord = 1 << 16;

void add_word(std::string_view word, VectorScan& scan) {
  if (find_invalid_utf8(word) == word.size()) {
    scan.text.append(word);
  } else {
    ++scan.invalid_utf8;
    while (!word.empty()) {
      const std::size_t good = find_invalid_utf8(word);
      scan.text.append(word.substr(0, good));
      if (good == word.size()) break;
      append_utf8(kReplacement, scan.text);
      word.remove_prefix(good + 1);
    }
  }
  scan.offsets.push_back(static_cast<std::int64_t>(scan.text.size()));
}

// For messages: the word that came before, so that the place can be found.
std::string after_word(const VectorScan& scan) {
  const std::size_t n = scan.offsets.size();
  if (n < 2) return "";
  const auto begin = static_cast<std::size_t>(scan.offsets[n - 2]);
  return " (after the word '" + scan.text.substr(begin, std::min<std::size_t>(scan.text.size() - begin, 40)) +
         "')";
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

RowCounts count_row(const float* row, std::int64_t dim) {
  std::uint32_t any = 0, worst = 0;
  for (std::int64_t j = 0; j < dim; ++j) {
    std::uint32_t bits;
    std::memcpy(&bits, row + j, sizeof(bits));
    bits &= 0x7FFFFFFFu;
    any |= bits;
    worst = std::max(worst, bits);
  }
  return {any == 0, worst >= 0x7F800000u};
}

// Runs fill(i) for every row over `threads` and adds up what it counts.
template <typename Fill>
RowCounts for_rows(std::int64_t n, std::int64_t dim, int threads, const Fill& fill) {
  std::atomic<std::int64_t> zero{0}, not_finite{0};
  const std::int64_t grain = std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, dim));
  parallel_for(n, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    RowCounts sum;
    for (std::int64_t i = begin; i < end; ++i) {
      const RowCounts row = fill(i);
      sum.zero += row.zero;
      sum.not_finite += row.not_finite;
    }
    zero += sum.zero;
    not_finite += sum.not_finite;
  });
  return {zero.load(), not_finite.load()};
}

}  // namespace

VectorScan scan_vectors_binary(std::string_view file, std::int64_t begin, std::int64_t count,
                               std::int64_t limit, std::int64_t dim) {
  VectorScan scan;
  const auto bytes = static_cast<std::size_t>(dim) * sizeof(float);
  const std::int64_t n = std::min(count, limit);
  scan.value_offsets.reserve(static_cast<std::size_t>(n));
  scan.offsets.reserve(static_cast<std::size_t>(n) + 1);
  auto at = static_cast<std::size_t>(begin);
  const auto place = [&](std::int64_t i) {
    return "entry " + std::to_string(i + 1) + " of " + std::to_string(count) + after_word(scan);
  };
  for (std::int64_t i = 0; i < n; ++i) {
    while (at < file.size() && file[at] == '\n') ++at;
    const std::string_view rest = file.substr(at, kMaxWord);
    const std::size_t length = rest.find(' ');
    if (length == std::string_view::npos && rest.size() == kMaxWord) {
      throw TextError(0, place(i) + " has no space within " + std::to_string(kMaxWord) +
                             " bytes: not a word2vec binary of " + std::to_string(dim) + " dimensions");
    }
    if (length == std::string_view::npos || file.size() - (at + length + 1) < bytes) {
      throw TextError(0, "the file is cut off in " + place(i));
    }
    const std::string_view word = rest.substr(0, length);
    if (word.empty() || word.find('\0') != std::string_view::npos) {
      throw TextError(0, place(i) + " does not begin with a word: not a word2vec binary of " +
                             std::to_string(dim) + " dimensions");
    }
    add_word(word, scan);
    at += length + 1;
    scan.value_offsets.push_back(static_cast<std::int64_t>(at));
    at += bytes;
  }
  if (n == count) {
    const std::string_view rest = file.substr(at);
    if (rest.find_first_not_of("\r\n") != std::string_view::npos) {
      throw TextError(0, std::to_string(rest.size()) + " bytes follow the last of " + std::to_string(count) +
                             " entries: the header does not fit the file");
    }
  }
  return scan;
}

namespace {

struct Line {
  std::int64_t begin, end;  // without the line end
};

// Starts and ends of up to `limit` lines from `begin` on, found in parallel.
std::vector<Line> find_lines(std::string_view file, std::int64_t begin, std::int64_t limit, int threads) {
  constexpr std::int64_t kBlock = 4 << 20;
  const auto size = static_cast<std::int64_t>(file.size());
  std::vector<std::int64_t> ends;
  // A limit far below the size is common (max_rank of a large file): go on only until there are enough.
  const std::int64_t group = kBlock * 64;
  for (std::int64_t from = begin; from < size && static_cast<std::int64_t>(ends.size()) < limit;
       from += group) {
    const std::int64_t to = std::min(size, from + group);
    const std::int64_t blocks = (to - from + kBlock - 1) / kBlock;
    std::vector<std::vector<std::int64_t>> found(static_cast<std::size_t>(blocks));
    parallel_for(blocks, 1, threads, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t b = first; b < last; ++b) {
        const char* p = file.data() + from + b * kBlock;
        const char* const stop = file.data() + std::min(to, from + (b + 1) * kBlock);
        while (p < stop) {
          const auto* hit =
              static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(stop - p)));
          if (hit == nullptr) break;
          found[static_cast<std::size_t>(b)].push_back(hit - file.data());
          p = hit + 1;
        }
      }
    });
    for (const auto& part : found) ends.insert(ends.end(), part.begin(), part.end());
  }
  std::vector<Line> lines;
  std::int64_t start = begin;
  for (const std::int64_t end : ends) {
    if (static_cast<std::int64_t>(lines.size()) == limit) break;
    lines.push_back({start, end});
    start = end + 1;
  }
  if (static_cast<std::int64_t>(lines.size()) < limit && start < size) lines.push_back({start, size});
  return lines;
}

// Where the word ends and the values begin: the last `dim` fields are the values. -1 if there are fewer
// fields.
struct Entry {
  std::int64_t word_end = -1, values = -1, fields = 0;
};

Entry split_entry(const char* text, Line line, std::int64_t dim) {
  Entry entry;
  std::int64_t at = line.end;
  while (entry.fields < dim) {
    while (at > line.begin && is_blank(text[at - 1])) --at;
    if (at == line.begin) return entry;
    while (at > line.begin && !is_blank(text[at - 1])) --at;
    ++entry.fields;
  }
  entry.values = at;
  while (at > line.begin && is_blank(text[at - 1])) --at;
  entry.word_end = at;
  return entry;
}

// The number that ends a "word" of several fields betrays a line with too many values.
bool ends_in_number(std::string_view word) {
  const std::size_t space = word.find_last_of(" \t");
  if (space == std::string_view::npos) return false;
  float value;
  const char* const end = word.data() + word.size();
  return parse_number(word.data() + space + 1, end, value) == end;
}

}  // namespace

VectorScan scan_vectors_text(std::string_view file, std::int64_t begin, std::int64_t count,
                             std::int64_t limit, std::int64_t dim, std::int64_t first_line, int threads) {
  const bool whole = count < 0 || limit >= count;
  // All lines where a header says how many there should be, so that a surplus is seen.
  const std::int64_t wanted = count >= 0 && whole ? static_cast<std::int64_t>(file.size()) : limit;
  std::vector<Line> lines = find_lines(file, begin, wanted, threads);
  const auto blank = [&](Line line) {
    return std::all_of(file.data() + line.begin, file.data() + line.end, is_blank);
  };
  while (whole && !lines.empty() && blank(lines.back())) lines.pop_back();  // blank lines at the end
  const auto found = static_cast<std::int64_t>(lines.size());
  const auto line_of = [&](std::int64_t i) { return first_line + i; };
  const std::int64_t n = std::min(found, count < 0 ? limit : std::min(count, limit));
  std::vector<Entry> entries(static_cast<std::size_t>(n));
  parallel_for(n, 1024, threads, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      entries[static_cast<std::size_t>(i)] =
          split_entry(file.data(), lines[static_cast<std::size_t>(i)], dim);
    }
  });
  VectorScan scan;
  scan.value_offsets.reserve(static_cast<std::size_t>(n));
  scan.offsets.reserve(static_cast<std::size_t>(n) + 1);
  for (std::int64_t i = 0; i < n; ++i) {
    const Entry& entry = entries[static_cast<std::size_t>(i)];
    const Line& line = lines[static_cast<std::size_t>(i)];
    if (entry.values < 0 || entry.word_end == line.begin) {
      throw TextError(line_of(i), "expected a word and " + std::to_string(dim) + " numbers, got " +
                                      std::to_string(entry.fields) + " field(s)");
    }
    const auto word = file.substr(static_cast<std::size_t>(line.begin),
                                  static_cast<std::size_t>(entry.word_end - line.begin));
    if (ends_in_number(word)) {
      throw TextError(line_of(i),
                      "expected a word and " + std::to_string(dim) + " numbers, got more numbers");
    }
    add_word(word, scan);
    scan.value_offsets.push_back(entry.values);
  }
  if (count >= 0 && whole && found > count) {
    throw TextError(line_of(count),
                    "the header promises " + std::to_string(count) + " words, but the file goes on");
  }
  if (count >= 0 && n < std::min(count, limit)) {
    throw TextError(0, "the file is cut off: the header promises " + std::to_string(count) + " words, " +
                           std::to_string(found) + " are there");
  }
  return scan;
}

RowCounts copy_rows_binary(std::string_view file, const std::int64_t* value_offsets, std::int64_t n,
                           std::int64_t dim, int threads, float* out) {
  return for_rows(n, dim, threads, [&](std::int64_t i) {
    float* const row = out + i * dim;
    std::memcpy(row, file.data() + value_offsets[i], static_cast<std::size_t>(dim) * sizeof(float));
    return count_row(row, dim);
  });
}

RowCounts parse_rows_text(std::string_view file, const std::int64_t* value_offsets, std::int64_t n,
                          std::int64_t dim, int threads, float* out) {
  std::atomic<std::int64_t> bad{-1};
  const char* const end = file.data() + file.size();
  const RowCounts counts = for_rows(n, dim, threads, [&](std::int64_t i) {
    float* const row = out + i * dim;
    const char* p = file.data() + value_offsets[i];
    for (std::int64_t j = 0; j < dim; ++j) {
      while (p < end && is_blank(*p)) ++p;
      const char* const rest = parse_number(p, end, row[j]);
      if (rest == nullptr || (rest < end && !is_blank(*rest) && *rest != '\n')) {
        // Keep the first by position, whichever thread finds it.
        const std::int64_t here = p - file.data();
        std::int64_t seen = bad.load();
        while ((seen < 0 || here < seen) && !bad.compare_exchange_weak(seen, here)) {
        }
        return RowCounts{};
      }
      p = rest;
    }
    return count_row(row, dim);
  });
  const std::int64_t at = bad.load();
  if (at >= 0) {
    const auto begin = static_cast<std::size_t>(at);
    const std::size_t stop = std::min(file.find_first_of(" \t\r\n", begin), file.size());
    const std::int64_t line = 1 + std::count(file.data(), file.data() + at, '\n');
    throw TextError(line, "expected a number, got '" +
                              std::string(file.substr(begin, std::min<std::size_t>(stop - begin, 40))) + "'");
  }
  return counts;
}

}  // namespace bioner
