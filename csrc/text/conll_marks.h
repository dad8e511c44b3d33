// Lines of a column file that hold no token: document markers and comments.
#pragma once

#include <string>
#include <string_view>

namespace bioner::conll {

struct Mark {
  enum class Kind {
    kNone,     // none of these: a token, if the line has its columns
    kStart,    // -DOCSTART-, # newdoc, #begin document
    kName,     // # doc_id = 12, ###MEDLINE:12: starts a document unless it names the one that was just begun
    kEnd,      // #end document
    kComment,  // another line that begins with #
  };
  Kind kind = Kind::kNone;
  std::string id = {};  // "" where the line gives none
};

// What a line is (without its line end). `has_columns`: it has the columns that the lines of tokens have, so
// that one beginning with # may be a token.
Mark read_mark(std::string_view line, bool has_columns);

// Whether a line that begins with # may be the first line of a file that has a token: where a tab is the
// first white space in it ("#\tO").
bool may_begin_columns(std::string_view line);

}  // namespace bioner::conll
