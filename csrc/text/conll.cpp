// Reading in three steps: cut the file into pieces, look them over (is it text, how many lines), read them.
// The second and third run over threads; what a piece holds is copied to its place as soon as those before it
// are known, in their order, while it is still in the cache.
#include "text/conll.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>

#include "base/runtime/thread_pool.h"
#include "text/conll_chunk.h"
#include "text/text_error.h"
#include "text/utf8.h"

namespace bioner {

namespace {

using conll::Chunk;
using conll::ChunkReader;

// What a piece is read into fits the second-level cache.
constexpr std::size_t kChunkBytes = std::size_t{128} << 10;
// Positions within a piece are 32 bits wide.
constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 31;

std::vector<Chunk> cut(std::string_view file, std::size_t begin) {
  std::vector<Chunk> chunks;
  while (begin < file.size()) {
    std::size_t end = file.size();
    if (end - begin > kChunkBytes) {
      end = std::min(file.find('\n', begin + kChunkBytes), file.size() - 1) + 1;
    }
    if (end - begin > kMaxChunkBytes) {
      throw TextError(conll::line_of(file, begin), "expected short lines, found one of over a gigabyte");
    }
    chunks.push_back({begin, end, 0});
    begin = end;
  }
  return chunks;
}

// Refuses what is not UTF-8 text and counts the lines of the chunks.
void look_over(std::string_view file, std::vector<Chunk>& chunks, int threads) {
  const auto* data = reinterpret_cast<const unsigned char*>(file.data());
  const conll::LineKernels& kernels = conll::line_kernels();
  constexpr std::size_t kNone = ~std::size_t{0};
  std::vector<char> has_nul(chunks.size());
  std::vector<std::size_t> invalid(chunks.size(), kNone);
  parallel_for(static_cast<std::int64_t>(chunks.size()), 2, threads, [&](std::int64_t from, std::int64_t to) {
    for (auto k = static_cast<std::size_t>(from); k < static_cast<std::size_t>(to); ++k) {
      Chunk& chunk = chunks[k];
      const std::size_t size = chunk.end - chunk.begin;
      const conll::TextCounts counts = kernels.count(data + chunk.begin, size);
      chunk.lines = counts.newlines;
      has_nul[k] = counts.has_nul;
      // No character spans two chunks: they end with lines.
      if (!counts.is_ascii) {
        const std::size_t at = find_invalid_utf8(file.substr(chunk.begin, size));
        if (at < size) invalid[k] = chunk.begin + at;
      }
    }
  });
  if (std::find(has_nul.begin(), has_nul.end(), 1) != has_nul.end()) {
    throw TextError(conll::line_of(file, file.find('\0')),
                    "expected text, found a NUL byte (is this a binary or UTF-16 file?)");
  }
  for (const std::size_t at : invalid) {
    if (at == kNone) continue;
    char byte[8];
    std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(file[at]));
    throw TextError(conll::line_of(file, at), std::string("expected UTF-8, found the byte ") + byte);
  }
}

// From the label numbers of a chunk to those of the file, for each label column.
using Maps = std::vector<std::vector<std::int32_t>>;

// Puts together what the chunks hold.
class Assembler {
 public:
  Assembler(std::string_view file, const std::vector<Chunk>& chunks, std::size_t n_labels)
      : file_(file), chunks_(chunks), tables_(n_labels) {
    std::size_t lines = 1;
    for (const Chunk& chunk : chunks) lines += chunk.lines;
    table_.text = large_array<std::uint8_t>(file.size());
    table_.offsets = large_array<std::int64_t>(lines + 1);
    table_.labels.resize(n_labels);
    for (LabelColumn& label : table_.labels) label.ids = large_array<std::int32_t>(lines);
    table_.sentence_offsets.push_back(0);
    table_.document_offsets.push_back(0);
  }

  // Reads chunks until none is left. Runs on several threads at once.
  void work(ChunkReader& reader, Maps& maps) {
    for (;;) {
      const std::size_t k = next_.fetch_add(1);
      if (k >= chunks_.size()) return;
      std::exception_ptr error;
      try {
        reader.read(chunks_[k]);
      } catch (...) {
        error = std::current_exception();
      }
      // Whoever has the chunk before is at work on it, so this ends.
      for (std::size_t turn = turn_.load(); turn != k; turn = turn_.load()) turn_.wait(turn);
      const std::size_t token = tokens_;
      const std::size_t byte = bytes_;
      if (!error_ && !error) {
        try {
          append(reader, maps);
        } catch (...) {
          error = std::current_exception();
        }
      }
      if (!error_) error_ = error;
      const bool is_good = !error_;
      turn_.store(k + 1);
      turn_.notify_all();
      if (is_good) place(reader, maps, token, byte);
    }
  }

  ConllTable finish() {
    if (error_) std::rethrow_exception(error_);
    end_sentence(tokens_);
    end_document();
    table_.n_tokens = static_cast<std::int64_t>(tokens_);
    table_.offsets[tokens_] = static_cast<std::int64_t>(bytes_);
    for (std::size_t i = 0; i < tables_.size(); ++i) table_.labels[i].names = tables_[i].take();
    return std::move(table_);
  }

 private:
  // What needs the order of the chunks: names, boundaries, and where the rest goes.
  void append(const ChunkReader& reader, Maps& maps) {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      const std::vector<std::string>& names = reader.names(i);
      maps[i].resize(names.size());
      for (std::size_t n = 0; n < names.size(); ++n) {
        maps[i][n] = tables_[i].id(names[n]);
        if (tables_[i].size() > static_cast<std::size_t>(kMaxLabels)) {
          throw TextError(conll::line_of(file_, reader.first_line(i, n)),
                          "expected at most " + std::to_string(kMaxLabels) +
                              " different tags, found more: is this column the tag?");
        }
      }
    }
    const std::uint32_t* at = reader.breaks();
    const std::uint32_t* const end = at + reader.n_breaks();
    for (const conll::DocumentLine& document : reader.documents()) {
      for (; at < end && *at <= document.tokens; ++at) end_sentence(tokens_ + *at);
      add_mark(tokens_ + document.tokens, document.mark);
    }
    for (; at < end; ++at) end_sentence(tokens_ + *at);
    tokens_ += reader.tokens();
    bytes_ += reader.bytes();
    if (reader.skipped() > 0 && table_.skipped == 0) {
      table_.first_skipped = conll::line_of(file_, reader.first_skipped());
    }
    table_.skipped += static_cast<std::int64_t>(reader.skipped());
  }

  void add_mark(std::size_t token, const conll::Mark& mark) {
    if (mark.kind == conll::Mark::Kind::kName && document_open_) {
      if (mark.id == document_id_) return;  // said again, say before every sentence
      const bool is_empty =
          table_.sentence_offsets.back() == static_cast<std::int64_t>(token) &&
          table_.sentence_offsets.size() - 1 == static_cast<std::size_t>(table_.document_offsets.back());
      if (is_empty && document_id_.empty()) {
        document_id_ = mark.id;
        return;
      }
    }
    end_sentence(token);
    end_document();
    document_open_ = mark.kind != conll::Mark::Kind::kEnd;
    document_id_ = mark.id;
  }

  void place(const ChunkReader& reader, const Maps& maps, std::size_t token, std::size_t byte) {
    const conll::LineKernels& kernels = conll::line_kernels();
    if (reader.bytes() > 0) std::memcpy(table_.text.get() + byte, reader.text(), reader.bytes());
    kernels.place(reader.starts(), reader.tokens(), static_cast<std::int64_t>(byte),
                  table_.offsets.get() + token);
    for (std::size_t i = 0; i < maps.size(); ++i) {
      kernels.relabel(reader.ids(i), reader.tokens(), maps[i].data(), table_.labels[i].ids.get() + token);
    }
  }

  void end_sentence(std::size_t token) {
    const auto end = static_cast<std::int64_t>(token);
    if (table_.sentence_offsets.back() != end) table_.sentence_offsets.push_back(end);
  }

  // Closes the document that is open: one begun by a marker, or by tokens before the first marker.
  void end_document() {
    const auto sentences = static_cast<std::int64_t>(table_.sentence_offsets.size()) - 1;
    if (!document_open_ && sentences == table_.document_offsets.back()) return;
    table_.document_offsets.push_back(sentences);
    table_.document_ids.push_back(std::move(document_id_));
    document_id_.clear();
    document_open_ = false;
  }

  std::string_view file_;
  const std::vector<Chunk>& chunks_;
  std::atomic<std::size_t> next_{0};  // the chunk to read next
  std::atomic<std::size_t> turn_{0};  // the chunk whose reader may use the members below
  std::exception_ptr error_;
  std::vector<LabelTable> tables_;
  ConllTable table_;
  std::size_t tokens_ = 0;
  std::size_t bytes_ = 0;
  bool document_open_ = false;
  std::string document_id_;
};

}  // namespace

ConllTable read_conll(std::string_view file, const ConllOptions& options, int threads) {
  if (file.size() >= 2) {
    const auto first = static_cast<unsigned char>(file[0]);
    const auto second = static_cast<unsigned char>(file[1]);
    if ((first == 0xFF && second == 0xFE) || (first == 0xFE && second == 0xFF)) {
      throw TextError(1, "expected UTF-8, found the byte-order mark of UTF-16");
    }
  }
  const std::size_t begin = file.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0;
  std::vector<Chunk> chunks = cut(file, begin);
  look_over(file, chunks, threads);
  const conll::Layout layout = conll::find_layout(file, begin, options);
  Assembler assembler(file, chunks, options.label_columns.size());
  const auto wanted = static_cast<std::int64_t>(threads > 0 ? threads : hardware_threads());
  const auto workers = std::min(wanted, static_cast<std::int64_t>(chunks.size()));
  std::vector<ChunkReader> readers;
  std::vector<Maps> maps(static_cast<std::size_t>(workers), Maps(options.label_columns.size()));
  for (std::int64_t i = 0; i < workers; ++i) readers.emplace_back(file, layout);
  parallel_for(workers, 1, threads, [&](std::int64_t from, std::int64_t to) {
    for (auto i = static_cast<std::size_t>(from); i < static_cast<std::size_t>(to); ++i) {
      assembler.work(readers[i], maps[i]);
    }
  });
  return assembler.finish();
}

}  // namespace bioner
