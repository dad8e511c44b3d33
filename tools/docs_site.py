"""What the site (``mkdocs.yml``) needs beside MkDocs: pages from elsewhere, and docstrings in Markdown."""

from __future__ import annotations

import posixpath
import re
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# File of the repository -> its page. Links between these and the pages of docs work in both places.
OUTSIDE = {
    "benchmarks/RESULTS.md": "measurements.md",
    "benchmarks/results-archive.md": "measurements-archive.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
}
_PAGES = {page: source for source, page in OUTSIDE.items()}
_LINK = re.compile(r"\]\(([^)#:\s]+\.(?:md|svg))(#[^)\s]*)?\)")
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc):`~?([^`]+)`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs."""
    root = posixpath.dirname(config.config_file_path)
    for source, page in OUTSIDE.items():
        path = posixpath.join(root, source)
        files.append(File.generated(config, page, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links from the places of files in the repository to their pages."""
    here = page.file.src_uri
    folder = posixpath.dirname(_PAGES.get(here, posixpath.join("docs", here)))

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        target = OUTSIDE.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{match[2] or ''})"

    return _LINK.sub(lead, markdown)


class PlainRoles(griffe.Extension):
    """Docstrings as griffe reads them: the roles of Sphinx are plain code, an example is one of examples."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
