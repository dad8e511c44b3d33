"""The import order of the package is its data flow; nothing imports to its right."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import bioner_fast

# From left to right. Modules directly under the package are shared ground and import none of these.
LAYERS = [
    {"data", "formats"},
    {"features"},
    {"ops"},
    {"models"},
    {"training", "tagging", "pretraining"},
    {"experiments", "integrations", "serve"},
    {"cli"},
]
ORDER = {name: rank for rank, names in enumerate(LAYERS) for name in names}
PACKAGE = Path(bioner_fast.__file__).parent


def imported_modules(path: Path) -> set[str]:
    """Names of bioner_fast's folders that a file imports anywhere, type checking aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        node
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.unparse(guard.test)
        for node in ast.walk(guard)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {
        parts[1]
        for parts in (name.split(".") for name in names)
        if parts[0] == "bioner_fast" and len(parts) > 1
    }


def test_imports_only_from_the_left() -> None:
    wrong = []
    for folder, rank in ORDER.items():
        for path in (PACKAGE / folder).rglob("*.py"):
            wrong += [
                f"{path.relative_to(PACKAGE)} imports {name}"
                for name in imported_modules(path)
                if ORDER.get(name, -1) > rank
            ]
    assert not wrong


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_commands_that_need_no_network_do_not_load_torch() -> None:
    modules = [
        f"bioner_fast.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for folder in ("data", "formats", "features")
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    imports = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
    assert run(imports + "print('torch' in sys.modules)").strip() == "False"


def test_the_command_table_loads_neither_numpy_nor_torch() -> None:
    code = "import sys, bioner_fast.cli\nprint(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert run(code).strip() == "[]"
