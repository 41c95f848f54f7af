"""Pages made of executed code: `python docs/make.py [PAGE ...]` runs the pages and writes into them what their code prints and draws.

A page is Markdown. Its ```python blocks run in order in one namespace, in the page's own folder, so that a picture that is saved
lands beside the page. A ```text block that follows a python block directly holds what that block printed: this script fills it
in, and tests/test_docs.py checks that the page says what its code gives now. Calls in `code` between the blocks run as well, in the test.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?P<gap>\n*)(?:^```text\n(?P<said>.*?)^```\n)?", re.M | re.S)
FENCED = re.compile(r"^```.*?^```\n", re.M | re.S)
CALL = re.compile(r"`((?:glimm|fit)\.[^`\n]*)`")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """All pages, in a fixed order."""
    return sorted(path for path in DOCS.rglob("*.md") if "site" not in path.parts)


def run(text: str, name: str, folder: Path) -> tuple[list[str | None], dict[str, Any]]:
    """Run a page's blocks in `folder`: what each printed (None where the page shows no output), and the namespace at the end."""
    names: dict[str, Any] = {"__name__": "page"}
    printed: list[str | None] = []
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("code"))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.chdir(folder):
            exec(compile("\n" * line + block["code"], name, "exec"), names)
        shown = "".join(f"{row.rstrip()}\n" for row in out.getvalue().rstrip().splitlines())
        printed.append(None if block["said"] is None else shown)
    return printed, names


def filled(text: str, printed: list[str | None]) -> str:
    """The page with what its blocks printed."""
    said = iter(printed)

    def block(found: re.Match[str]) -> str:
        now = next(said)
        return found[0] if now is None else f"```python\n{found['code']}```\n{found['gap']}```text\n{now}```\n"

    return BLOCK.sub(block, text)


def calls(text: str) -> list[str]:
    """Calls of glimm and questions to a fit in `code` outside the blocks; in a table a bar is written \\|."""
    found = CALL.findall(FENCED.sub("", text))
    return list(dict.fromkeys(call.replace("\\|", "|") for call in found))


def pictures(text: str) -> list[str]:
    """Pictures that the page shows, as paths beside it."""
    return [path for path in PICTURE.findall(text) if "://" not in path]


def main(arguments: list[str]) -> None:
    """Run the pages named, or all, and write what changed."""
    import matplotlib

    matplotlib.use("Agg")
    for page in [Path(path).resolve() for path in arguments] or pages():
        text = page.read_text(encoding="utf-8")
        new = filled(text, run(text, str(page), page.parent)[0])
        if new != text:
            page.write_text(new, encoding="utf-8", newline="\n")
            print(f"{page.relative_to(DOCS)}: written")


if __name__ == "__main__":
    main(sys.argv[1:])
