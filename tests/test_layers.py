"""The import order of the package is its data flow; nothing imports to its right."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import bioner_fast

# From left to right; folders beside one another do not import one another. Modules directly under the package
# are shared ground and import none of these.
LAYERS = [
    {"data"},
    {"formats"},
    {"features"},
    {"ops"},
    {"models"},
    {"tagging"},
    {"training"},
    {"pretraining"},
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
                if ORDER.get(name, -1) > rank or (ORDER.get(name) == rank and name != folder)
            ]
    wrong += [
        f"{path.name} imports {name}"
        for path in PACKAGE.glob("*.py")
        if not path.name.startswith("__")
        for name in imported_modules(path) & ORDER.keys()
    ]
    assert not wrong
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == ORDER.keys()


def test_no_modules_import_one_another() -> None:
    """Imports inside functions and for type checking count: they are where circles hide."""
    graph = import_graph(PACKAGE)
    assert circles(graph) == []
    graph["bioner_fast.errors"] = {"bioner_fast.temporary"}  # which imports it
    assert circles(graph) == [["bioner_fast.errors", "bioner_fast.temporary"]]


def import_graph(package: Path) -> dict[str, set[str]]:
    """Modules, and what they import anywhere; the package itself, which only has lazy names, is left out."""
    paths = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del paths["bioner_fast"]
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert node.level == 0, f"{path}: a relative import"
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found &= paths.keys() - {name}
        # A folder's __init__ is loaded before anything in it; it may import its own modules.
        found -= {package for package in found if any(other.startswith(f"{package}.") for other in found)}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach one another."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        found: set[str] = set()
        new = [start]
        while new:
            for name in graph[new.pop()] - found:
                found.add(name)
                new.append(name)
        reach[start] = found
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph if a in reach[a]}
    return [list(group) for group in sorted(groups)]


def test_networks_are_known_by_the_registry_alone() -> None:
    """Nothing imports an architecture's folder but itself, and pre-training, which is of one of them."""
    wrong = []
    for name, found in import_graph(PACKAGE).items():
        for folder in ("bioner_fast.models.windowed", "bioner_fast.models.idcnn"):
            inside = {module for module in found if module.startswith(folder)}
            if inside and not name.startswith((folder, "bioner_fast.pretraining.")):
                wrong.append(f"{name} imports {', '.join(sorted(inside))}")
    assert not wrong


def test_a_class_name_means_one_thing() -> None:
    """Formats apart: each has its ``Writer``, which the registry asks for by that name."""
    places: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not (
                node.name == "Writer" and path.parent.name == "formats"
            ):
                places.setdefault(node.name, []).append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


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
