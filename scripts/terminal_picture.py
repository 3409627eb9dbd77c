"""What is on a terminal as a picture: text with colour escapes becomes an SVG in which every cell is text. Pure.

rich reads the escapes; the picture is drawn here, since rich's own asks a server for its font. A reader's own
monospaced font is taken, and each run of text is stretched to its cells, so that columns stay columns.
"""

from __future__ import annotations

from html import escape
from io import StringIO

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

CELL, LINE, SIZE, MARGIN, BAR = 8.4, 19, 14, 16, 34
GROUND, INK, DIM, FRAME = "#0d1117", "#d5dbe3", "#8b949e", "#30363d"
COLOURS = {1: "#ff7b72", 2: "#7ee787", 3: "#e3b341", 4: "#79c0ff", 5: "#d2a8ff", 6: "#76e3ea"}
"""By their number in ECMA-48 8.3.117."""

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"


def render_svg(screen: str, title: str, columns: int) -> str:
    """The picture of a screen, in a window whose title is the command."""
    lines = _lines(screen.rstrip("\n"), columns)
    width = columns * CELL + 2 * MARGIN
    height = len(lines) * LINE + BAR + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' font-family="{FONT}" font-size="{SIZE}">'
    )
    parts = [
        head,
        f"<title>{escape(title)}</title>",
        f'<rect x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8" fill="{GROUND}" stroke="{FRAME}"/>',
        *(f'<circle cx="{MARGIN + 4 + 16 * number}" cy="17" r="5" fill="{FRAME}"/>' for number in range(3)),
        f'<text x="{width / 2:g}" y="21" fill="{DIM}" text-anchor="middle">$ {escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        parts += _line(line, BAR + number * LINE)
    return "\n".join([*parts, "</svg>", ""])


def _lines(screen: str, columns: int) -> list[list[Segment]]:
    console = Console(file=StringIO(), width=columns, color_system="standard", legacy_windows=False)
    text = Text.from_ansi(screen)
    text.no_wrap = True
    return console.render_lines(text, console.options.update_width(columns), pad=False)


def _line(segments: list[Segment], top: float) -> list[str]:
    """The cells of one line: grounds first, then the text of each run."""
    parts: list[str] = []
    at = 0
    for segment in segments:
        cells, style = segment.cell_length, segment.style or Style()
        x, wide = MARGIN + at * CELL, cells * CELL
        ink, ground = _inks(style)
        at += cells
        if ground != GROUND:
            parts.append(f'<rect x="{x:g}" y="{top:g}" width="{wide:g}" height="{LINE}" fill="{ground}"/>')
        bare = segment.text.strip(" ")
        if bare:
            lead = len(segment.text) - len(segment.text.lstrip(" "))
            inner = cells - (len(segment.text) - len(bare))
            weight = ' font-weight="bold"' if style.bold else ""
            parts.append(
                f'<text x="{x + lead * CELL:g}" y="{top + 14:g}" fill="{ink}"{weight} xml:space="preserve"'
                f' textLength="{inner * CELL:g}" lengthAdjust="spacingAndGlyphs">{escape(bare)}</text>'
            )
    return parts


def _inks(style: Style) -> tuple[str, str]:
    """The colours of text and ground."""
    ink = COLOURS.get(style.color.number or 0, INK) if style.color is not None else INK
    return (GROUND, ink) if style.reverse else (ink, GROUND)
