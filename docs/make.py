"""Pages made of executed code: `python docs/make.py [PAGE ...]` runs the pages and writes into them what their code prints and draws.

A page is Markdown. Its ```python blocks run in order in one namespace, in the page's own folder, so that a picture that is saved
lands beside the page. A ```text block that follows a python block directly holds what that block printed. In a ```console block a
line `$ glimm ...` is a command and the lines below it what it printed. This script fills in both, and tests/test_docs.py checks
that the page says what its code gives now. Calls in `code` between the blocks run as well, in the test.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PYTHON = r"^```python\n(?P<code>.*?)^```\n(?P<gap>\n*)(?:^```text\n(?P<said>.*?)^```\n)?"
CONSOLE = r"^```console\n(?P<session>.*?)^```\n"
BLOCK = re.compile(f"{PYTHON}|{CONSOLE}", re.M | re.S)
FENCED = re.compile(r"^```.*?^```\n", re.M | re.S)
CALL = re.compile(r"`((?:glimm|fit)\.[^`\n]*)`")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """All pages, in a fixed order."""
    return sorted(DOCS.rglob("*.md"))


def run(text: str, name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Run a page in `folder`: the page with what it prints now, and the names that its python blocks leave behind."""
    names: dict[str, Any] = {"__name__": "page"}

    def now(block: re.Match[str]) -> str:
        if block["session"] is not None:
            return f"```console\n{session(block['session'])}```\n"
        with printed() as out:
            line = text.count("\n", 0, block.start("code"))
            exec(compile("\n" * line + block["code"], name, "exec"), names)
        if block["said"] is None:
            return block[0]
        return f"```python\n{block['code']}```\n{block['gap']}```text\n{tidied(out)}```\n"

    with contextlib.chdir(folder):
        return BLOCK.sub(now, text), names


def session(text: str) -> str:
    """The commands of a console block, each with what it prints on standard output."""
    from glimm.cli import main

    lines = []
    for command in re.findall(r"^\$ (.*)$", text, re.M):
        program, *arguments = shlex.split(command)
        if program != "glimm":
            raise ValueError(f"a console block runs glimm only, not {command!r}")
        with printed() as out:
            main(arguments)
        lines.append(f"$ {command}\n{tidied(out)}")
    return "\n".join(lines)


def printed() -> contextlib.redirect_stdout[io.StringIO]:
    """What is printed inside a with statement."""
    return contextlib.redirect_stdout(io.StringIO())


def tidied(out: io.StringIO) -> str:
    """Without spaces at the ends of lines and empty lines at the end."""
    return "".join(f"{row.rstrip()}\n" for row in out.getvalue().rstrip().splitlines())


def calls(text: str) -> list[str]:
    """Calls of glimm and questions to a fit in `code` outside the blocks; in a table a bar is written \\|."""
    found = CALL.findall(FENCED.sub("", text))
    return list(dict.fromkeys(call.replace("\\|", "|") for call in found))


def pictures(text: str) -> list[str]:
    """Pictures that the page shows, as paths beside it."""
    return [path for path in PICTURE.findall(text) if "://" not in path]


def alike(old: bytes, new: bytes) -> bool:
    """Pictures that look the same: the last digits of an SVG differ from processor to processor."""
    number = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
    if b"<svg" not in old or number.sub(b"", old) != number.sub(b"", new):
        return old == new
    return all(abs(float(a) - float(b)) < 0.01 for a, b in zip(number.findall(old), number.findall(new), strict=True))


def main(arguments: list[str]) -> None:
    """Run the pages named, or all, and write what changed."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "glimm"  # the same picture is the same file
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    for page in [Path(path).resolve() for path in arguments] or pages():
        text = page.read_text(encoding="utf-8")
        before = {page.parent / path: (page.parent / path).read_bytes() for path in pictures(text) if (page.parent / path).exists()}
        now, _ = run(text, str(page), page.parent)
        for path, picture in before.items():
            if alike(picture, path.read_bytes()):
                path.write_bytes(picture)
        if now != text:
            page.write_text(now, encoding="utf-8", newline="\n")
            print(f"{page.relative_to(DOCS)}: written")


if __name__ == "__main__":
    main(sys.argv[1:])
