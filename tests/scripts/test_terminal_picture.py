from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.terminal_picture import CELL, GROUND, INK, render_svg

ROOT = Path(__file__).parents[2]
MAX_BYTES = 200 * 1024


def texts(svg: str) -> dict[str, dict[str, str]]:
    """The runs of text of the screen with their attributes."""
    root = ElementTree.fromstring(svg)  # noqa: S314 (written a moment ago)
    return {each.text or "": dict(each.attrib) for each in root.iter() if each.tag.endswith("}text")}


def test_every_run_of_text_has_its_place_and_colour() -> None:
    found = texts(render_svg("ab \x1b[1;31mOUT\x1b[0m\n\x1b[7m row \x1b[0m", "hullwatch top", 20))
    assert found["ab"]["fill"] == INK
    assert (found["OUT"]["fill"], found["OUT"]["font-weight"]) == ("#ff7b72", "bold")
    assert float(found["OUT"]["x"]) - float(found["ab"]["x"]) == pytest.approx(3 * CELL)
    assert float(found["OUT"]["textLength"]) == pytest.approx(3 * CELL)
    assert found["row"]["fill"] == GROUND
    assert float(found["row"]["y"]) > float(found["OUT"]["y"])


def test_what_a_container_is_called_is_text_and_no_markup() -> None:
    assert "<script>&" in texts(render_svg("<script>&", "a < b", 20))
    assert "$ a < b" in texts(render_svg("", "a < b", 20))


def test_the_pictures_of_the_readme_are_there_small_and_ask_no_server() -> None:
    named = re.findall(r"\]\((docs/pictures/[^)]+)\)", (ROOT / "README.md").read_text())
    assert sorted(named) == sorted(str(each.relative_to(ROOT)) for each in (ROOT / "docs/pictures").iterdir())
    for name in named:
        data = (ROOT / name).read_bytes()
        assert len(data) < MAX_BYTES
        if name.endswith(".svg"):
            assert data.count(b"http") == data.count(b"http://www.w3.org/2000/svg") == 1
            ElementTree.fromstring(data)  # noqa: S314 (our own)
