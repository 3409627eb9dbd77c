"""Writes the reference pages that are generated from the code, or says which of them are stale.

Run by ``make docs`` and ``make docs-check``. The list of pages is ``agent.reference.PAGES``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.reference import PAGES


def main(arguments: list[str]) -> int:
    """Write the pages; with ``--check``, write nothing and return 1 when one is stale."""
    check = arguments == ["--check"]
    if arguments and not check:
        sys.stderr.write("usage: scripts/reference.py [--check]\n")
        return 2
    docs = Path(__file__).resolve().parent.parent / "docs"
    stale = [name for name, render in PAGES.items() if not _holds(docs / name, render())]
    if check:
        for name in stale:
            sys.stderr.write(f"docs/{name} is stale: run make docs\n")
        return int(bool(stale))
    for name in stale:
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(PAGES[name](), encoding="utf-8")
        sys.stdout.write(f"docs/{name} is written\n")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
