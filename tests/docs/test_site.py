"""The site builds without a warning, needs no network, and its reference names everything public."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bioner_fast


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    loading = re.compile(
        r"""<(?:script|img|iframe)[^>]*\ssrc=["'](?:https?:)?//|<link[^>]*\shref=["'](?:https?:)?//"""
    )
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        found = loading.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.name}: {found and found[0]}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", style.read_text(encoding="utf-8")), (
            style.name
        )


def test_pages_show_no_raw_markup(site: Path) -> None:
    for page in sorted((site / "api").glob("*.html")):
        text = page.read_text(encoding="utf-8")
        assert ":func:`" not in text, page.name
        assert ":class:`" not in text, page.name
        assert "<blockquote>" not in text, f"{page.name}: an example that is not read as one"


def test_the_reference_names_everything_public(repository: Path) -> None:
    pages = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((repository / "docs/api").glob("*.md"))
    )
    described = {line.split()[1].rpartition(".")[2] for line in pages.splitlines() if line.startswith("::: ")}
    for module in ("bioner_fast", "bioner_fast.ops"):
        public = set(importlib.import_module(module).__all__)
        missing = public - described - {"__version__", "ops"}
        assert not missing, f"{module}: {sorted(missing)}"


def test_what_the_reference_names_is_there(repository: Path) -> None:
    for path in sorted((repository / "docs/api").glob("*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("::: ") and not ("ray_data" in line or "serve" in line):  # extras
                module, _, name = line.split()[1].rpartition(".")
                assert getattr(importlib.import_module(module), name).__doc__, line


def test_the_navigation_has_every_page(repository: Path) -> None:
    named = set(re.findall(r"[\w/-]+\.md", (repository / "mkdocs.yml").read_text(encoding="utf-8")))
    docs = repository / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert not {page for page in pages if not page.startswith("results/")} - named


def test_pages_name_no_commit(repository: Path) -> None:
    pages = [repository / "README.md", repository / "CHANGELOG.md", repository / "benchmarks" / "RESULTS.md"]
    pages += [path for path in (repository / "docs").rglob("*.md") if "results" not in path.parts]
    commit = re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7}\b")
    for page in pages:
        found = commit.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.name}: {found and found[0]}"


def test_links_lead_somewhere(repository: Path) -> None:
    for page in [*repository.glob("*.md"), *(repository / "docs").rglob("*.md"), *repository.glob("*/*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(repository)}: {target}"


def test_the_version_is_said_alike(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["version"] == bioner_fast.__version__
    assert re.findall(r"^## \[(.*?)\]", changes, re.MULTILINE)[:2] == ["Unreleased", project["version"]]
