"""``_ops.pyi`` says what the extension has: every name, and every argument by its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import bioner_fast
from bioner_fast.ops import _native


def test_the_stub_has_every_signature() -> None:
    module = _native.extension()
    stub = ast.parse((Path(bioner_fast.__file__).parent / "_ops.pyi").read_text(encoding="utf-8"))
    said = {
        node.name: [argument.arg for argument in node.args.args]
        for node in stub.body
        if isinstance(node, ast.FunctionDef)
    }
    values = {
        node.target.id
        for node in stub.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    found: dict[str, list[str]] = {}
    for name in (name for name in dir(module) if not name.startswith("__")):
        value = getattr(module, name)
        if not callable(value):
            assert name in values, name
            continue
        # pybind11 begins a docstring with the signature: name(first: type, second: type) -> type
        signature = str(value.__doc__).split(" -> ")[0]
        found[name] = re.findall(r"[(,] ?(\w+):", signature)
    # Only a build with CUDA has it.
    found.pop("crf_cuda_workspace_bytes", None)
    assert said == found
    assert len(found) > 30
