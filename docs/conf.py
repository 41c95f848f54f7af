"""Sphinx: the site from the pages in this folder and the docstrings in src/glimm. `make docs` builds it into site/."""

from __future__ import annotations

import re
from typing import Any

import glimm

project, author, copyright = "glimm", "the glimm developers", "the glimm developers"
version = release = glimm.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"glimm {version}"
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["glimm.css"]
pygments_style = "friendly"
autodoc_typehints = "none"
autodoc_member_order = "bysource"


def as_rst(_app: Any, _kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: keep their lines as they stand, and show examples as they are."""
    out: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip()):
        out.append("")
        if paragraph.startswith(">>>"):
            out += paragraph.splitlines()
            continue
        out += ["| " + re.sub(r"([*`|\\_])", r"\\\1", line.strip()) for line in paragraph.splitlines()]
    lines[:] = [*out, ""]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_rst)
