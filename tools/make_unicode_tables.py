"""Write csrc/text/unicode_tables.inc and csrc/text/fold_tables.inc: the Unicode data that the text path is
pinned to.

Tokens, capitalisation and lookup keys must not change with the Python that runs the package, so the tables
are checked in. Run it with a Python whose ``unicodedata`` is the pinned version (3.13 has 15.1.0) from the
root:

    python3.13 tools/make_unicode_tables.py
"""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

PINNED = "15.1.0"
LIMIT = 0x110000

# Bits of a character's class; csrc/text/unicode.h names them.
ALNUM, MARK, SPACE, UPPER, CASED = 1, 2, 4, 8, 16

GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
]

# What no decomposition gives. Values are what corpora and word vectors write instead.
SPECIAL: dict[str, str] = {}
for _characters, _value in [
    ("‐‑‒–—―−⁃﹘﹣－˗­⸺⸻", "-"),
    ("‘’‚‛′‵ʹʻʼˈ´＇‹›", "'"),
    ("“”„‟″‶«»〝〞〟＂", '"'),
    ("·∙⋅", "."),
    ("•∗⁎", "*"),
    ("∼～˜", "~"),
    ("±", "+/-"),
    ("≥⩾≧", ">="),
    ("≤⩽≦", "<="),
    ("×", "x"),
    ("→", "->"),
    ("°˚", "degrees"),
    ("⁄∕", "/"),
    ("ɑ", "alpha"),
    ("ɛ", "epsilon"),
    ("ɣ", "gamma"),
    ("Æ", "AE"),
    ("æ", "ae"),
    ("Œ", "OE"),
    ("œ", "oe"),
    ("Ø", "O"),
    ("ø", "o"),
    ("ÐĐ", "D"),
    ("ðđ", "d"),
    ("Þ", "Th"),
    ("þ", "th"),
    ("Ħ", "H"),
    ("ħ", "h"),
    ("ı", "i"),
    ("ȷ", "j"),
    ("Ł", "L"),
    ("ł", "l"),
    ("Ŋ", "N"),
    ("ŋ", "n"),
    ("Ŧ", "T"),
    ("ŧ", "t"),
    ("ß", "ss"),
    ("ẞ", "SS"),
    ("ĸ", "k"),
    ("ƒ", "f"),
]:
    for _character in _characters:
        SPECIAL[_character] = _value
# Invisible: zero-width spaces and joiners, marks of direction, byte order mark, invisible operators.
for _code in [
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2065),
    *range(0x2066, 0x206A),
    0xFEFF,
    0x61C,
]:
    SPECIAL[chr(_code)] = ""

# Combining marks and variation selectors that a key drops.
DROPPED_MARKS = [
    (0x300, 0x36F), (0x483, 0x487), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
]  # fmt: skip
# Blocks where decomposition means something else than an accent or a typographic variant.
NOT_FOLDED = [(0x600, 0x1CFF), (0x2E80, 0xFAFF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFC), (0x11000, 0x1D3FF),
              (0x1E900, 0x1EFFF), (0x20000, LIMIT)]  # fmt: skip


def greek_name(character: str) -> str | None:
    """The spelt-out name of a plain Greek letter, capitalised for a capital."""
    if character == "∆":  # the increment sign, widely used for the letter
        return "Delta"
    if "α" <= character <= "ω":
        return GREEK[ord(character) - ord("α")]
    if "Α" <= character <= "Ω" and unicodedata.category(character) == "Lu":
        return GREEK[ord(character) - ord("Α")].capitalize()
    return None


def fold(code: int) -> tuple[str, bool] | None:
    """What a key has instead of this character, and whether a capital Greek letter was spelt out."""
    character = chr(code)
    if code < 0x80 or unicodedata.category(character) in ("Cn", "Cs", "Co"):
        return None
    if character in SPECIAL:
        return SPECIAL[character], False
    if any(first <= code <= last for first, last in DROPPED_MARKS):
        return "", False
    if any(first <= code <= last for first, last in NOT_FOLDED):
        return None
    result, capital = "", False
    for part in unicodedata.normalize("NFKD", character):
        name = greek_name(part)
        if name is not None:
            result += name
            capital |= name[0].isupper()
        elif part in SPECIAL:
            result += SPECIAL[part]
        elif unicodedata.category(part) != "Mn":
            result += part
    if result == character or not result or any(part.isspace() for part in result):
        return None
    return result, capital


def classes() -> list[tuple[int, int, int]]:
    """Ranges (first, last, class) of the code points whose class is not 0."""
    ranges: list[tuple[int, int, int]] = []
    for code in range(LIMIT):
        character = chr(code)
        category = unicodedata.category(character)
        value = 0
        if category[0] in "LN":
            value |= ALNUM
        if category[0] == "M":
            value |= MARK
        if character.isspace():  # White_Space and the four ASCII separators U+001C to U+001F
            value |= SPACE
        if character.isupper():
            value |= UPPER
        elif character.islower() or category == "Lt":
            value |= CASED
        if value == 0:
            continue
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == value:
            ranges[-1] = (ranges[-1][0], code, value)
        else:
            ranges.append((code, code, value))
    return ranges


def literal(text: str) -> str:
    """A C++ string literal in ASCII; octal escapes cannot swallow the letter that follows."""
    return '"' + "".join(
        chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\{b:03o}" for b in text.encode()
    ) + '"'  # fmt: skip


def lines(items: list[str], width: int = 108) -> str:
    """Comma-separated items, wrapped."""
    rows, row = [], ""
    for item in items:
        if row and len(row) + len(item) + 2 > width:
            rows.append(row)
            row = ""
        row += (" " if row else "  ") + item + ","
    return "\n".join([*rows, row]) + "\n"


def main() -> None:
    """Write both files."""
    if unicodedata.unidata_version != PINNED:
        sys.exit(
            f"run this with a Python that has Unicode {PINNED} (this one has {unicodedata.unidata_version})"
        )
    folder = Path(__file__).parents[1] / "csrc" / "text"
    head = f"// Generated by tools/make_unicode_tables.py from Unicode {PINNED}; do not edit.\n"
    ranges = [f"{{0x{a:X}, 0x{b:X}, {v}}}" for a, b, v in classes()]
    lower = [
        f"{{0x{code:X}, 0x{ord(chr(code).lower()):X}}}"
        for code in range(0x80, LIMIT)
        if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)
    ]
    (folder / "unicode_tables.inc").write_text(
        f'{head}inline constexpr char kUnicodeVersion[] = "{PINNED}";\n\n'
        f"inline constexpr ClassRange kClassRanges[] = {{\n{lines(ranges)}}};\n\n"
        f"inline constexpr CasePair kLowerCase[] = {{\n{lines(lower)}}};\n",
        encoding="ascii",
    )
    folds = [(code, found) for code in range(LIMIT) if (found := fold(code)) is not None]
    entries = [f"{{0x{code:X}, {literal(value)}, {int(capital)}}}" for code, (value, capital) in folds]
    (folder / "fold_tables.inc").write_text(
        f"{head}inline constexpr Fold kFolds[] = {{\n{lines(entries)}}};\n", encoding="ascii"
    )
    print(f"{len(ranges)} class ranges, {len(lower)} case pairs, {len(folds)} folds")  # noqa: T201


if __name__ == "__main__":
    main()
