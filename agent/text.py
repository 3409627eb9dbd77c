r"""Text made of hostile bytes: always valid UTF-8, and visible wherever a person looks.

Whatever a container can name, an attacker wrote. ``to_text`` and ``valid`` make text that every encoder takes;
``visible`` makes text that a terminal or a log line can show. The bytes that did not survive are kept as base64.
Pure.
"""

from __future__ import annotations

import base64
import re

MAX_ARGUMENTS = 256
MAX_ARGUMENTS_BYTES = 4096

# Unicode's Cc, Cf, Cs, Zl and Zp, and what else Default_Ignorable_Code_Point hides (DerivedCoreProperties.txt 16.0);
# U+2800 is the blank braille pattern. Guarded by test_no_control_or_format_character_is_left_out.
_INVISIBLE = (
    "\x00-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u115f-\u1160\u17b4-\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_INVISIBLE_CHARACTER = re.compile(f"[{_INVISIBLE}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_text(raw: bytes) -> str:
    """Valid text of ``raw``: U+FFFD stands for what is not UTF-8. Control characters are kept: see ``visible``."""
    return raw.decode("utf-8", "replace")


def valid(text: str) -> str:
    r"""``text`` with U+FFFD for lone surrogates: JSON (``\ud800``) and surrogateescape make them."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def visible(text: str) -> str:
    r"""``text`` with every control, format or invisible character written out as \xNN, \uNNNN or \UNNNNNNNN.

    A backslash stays what it is, so that doing it twice changes nothing: the result is for reading, not for decoding.
    """
    return text if _is_plain(text) else _INVISIBLE_CHARACTER.sub(_escape, text)


def visible_bytes(raw: bytes) -> str:
    """``raw`` for a person: valid, and visible."""
    return visible(to_text(raw))


def visible_json(line: str) -> str:
    r"""A line of JSON with every invisible character as a ``\u`` escape: the same value, and safe on a terminal."""
    return line if _is_plain(line) else _INVISIBLE_CHARACTER.sub(_escape_json, line)


def visible_line(line: bytes) -> bytes:
    """The same for JSON as msgspec writes it, in UTF-8: what is below the blank is escaped in it already."""
    if line.isascii() and b"\x7f" not in line:
        return line
    return _INVISIBLE_CHARACTER.sub(_escape_json, line.decode("utf-8")).encode("utf-8")


def raw_base64(raw: bytes) -> str | None:
    """The bytes as base64 when they are not UTF-8, so that what ``to_text`` replaced is not lost; else ``None``."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii")
    return None


def arguments(raw: bytes) -> tuple[str, ...]:
    """The arguments of a NUL-separated ``/proc/PID/cmdline`` (proc_pid_cmdline(5)), bounded in bytes and in number.

    An empty argument is one; the NUL that ends the last one is not.
    """
    bounded = raw[:MAX_ARGUMENTS_BYTES].removesuffix(b"\x00")
    if not bounded and not raw:
        return ()
    return tuple(to_text(each) for each in bounded.split(b"\x00", MAX_ARGUMENTS)[:MAX_ARGUMENTS])


def clipped(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, an ellipsis in place of what was cut off."""
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def _is_plain(text: str) -> bool:
    """Visible characters of ASCII and blanks alone, as nearly all text is: ten times faster than to search."""
    return text.isascii() and text.isprintable()


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:  # noqa: PLR2004 (two hexadecimal digits)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 (four digits)


def _escape_json(match: re.Match[str]) -> str:
    pair = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[at : at + 2].hex()}" for at in range(0, len(pair), 2))
