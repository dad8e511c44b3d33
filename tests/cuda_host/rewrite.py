"""Turn a .cu file into C++ for include/cuda_runtime.h; line numbers stay.

Launches and shared arrays become calls. What is left of CUDA's own syntax afterwards is an error: nothing is
left out in silence.

    python rewrite.py IN.cu OUT.cpp [--cap NAME]...

--cap makes a constant (`constexpr TYPE NAME = VALUE;`) what the cases set, so that small inputs take several
turns.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

_LAUNCH = re.compile(r"([A-Za-z_]\w*(?:<[\w:,\s]+>)?)\s*<<<(.*?)>>>\s*\(", re.DOTALL)
_DYNAMIC = re.compile(r"extern\s+__shared__\s+([\w:]+)\s+(\w+)\[\];")
_STATIC = re.compile(r"__shared__\s+([\w:<>]+)\s+(\w+)\[([^\]]+)\];")
_LEFT = re.compile(r"<<<|>>>|__shared__|__constant__|__managed__|\basm\b|cooperative_groups|<cub/|<thrust/")
# Launch configuration: grid, block, shared memory, stream.
_DEFAULTS = ("0", "nullptr")


class NotRewrittenError(Exception):
    """The source holds something that this file does not know."""


def _closing(text: str, at: int) -> int:
    """The bracket that closes the one at ``at``."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise NotRewrittenError("a launch without its closing bracket")


def _parts(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1, "<": 1, ">": -1, "[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def rewrite(text: str, caps: tuple[str, ...] = ()) -> str:
    """The C++ of CUDA source; line for line."""
    lines = text.count("\n")
    at = 0
    while match := _LAUNCH.search(text, at):
        end = _closing(text, match.end() - 1)
        kernel, arguments = match[1], text[match.end() : end]
        configuration = _parts(match[2])
        configuration += _DEFAULTS[len(configuration) - 2 :]
        call = (
            f'::cuda_host::launch({{"{kernel}", reinterpret_cast<const void*>(&{kernel}), '
            f"{', '.join(configuration)}}}, [=] {{ {kernel}({arguments}); }})"
        )
        call += "\n" * (text.count("\n", match.start(), end + 1) - call.count("\n"))
        text = text[: match.start()] + call + text[end + 1 :]
        at = match.start() + len(call)
    text = _DYNAMIC.sub(r"\1* const \2 = static_cast<\1*>(::cuda_host::dynamic_shared());", text)
    memory = r"::cuda_host::static_shared(__FILE__, __LINE__, sizeof(\1) * (\3))"
    text = _STATIC.sub(rf"\1* const \2 = static_cast<\1*>({memory});", text)
    for name in caps:
        constant = re.compile(rf"constexpr ([\w:]+) {name} = ([^;]+);")
        if len(constant.findall(text)) != 1:
            raise NotRewrittenError(f"not one constant {name}")
        value = rf'static_cast<\1>(::cuda_host::cap("{name}", \2))'
        text = constant.sub(
            rf"struct {name}_ {{ operator \1() const {{ return {value}; }} }} const {name};", text
        )
    if left := _LEFT.search(text):
        raise NotRewrittenError(f"line {text.count(chr(10), 0, left.start()) + 1}: {left[0]} is left")
    if text.count("\n") != lines:
        raise NotRewrittenError("line numbers have changed")
    return text


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--cap", action="append", default=[])
    options = parser.parse_args(arguments)
    text = options.source.read_text(encoding="utf-8")
    try:
        text = rewrite(text, tuple(options.cap))
    except NotRewrittenError as error:
        sys.stderr.write(f"{options.source}: {error}\n")
        return 1
    options.target.parent.mkdir(parents=True, exist_ok=True)
    options.target.write_text(f'#line 1 "{options.source}"\n{text}', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
