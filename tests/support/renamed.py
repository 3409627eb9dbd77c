"""The test image and its tools under random names: proof that detection depends on no program's name.

Busybox finds an applet in a sorted table of names inside its own file. Every letter in that table is replaced by a
random one in a way that keeps the order, so that the same program answers to other names: `nsenter` is `YhHYiHg`. The
toolbox' programs and busybox' own file get random names as well. Commands and scripts of acts are translated on their
way into the engine, where a word is a program: at the start of a command, and as an argument that is nothing else.
"""

import random
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import processes
from tests.support.engine import Container, Engine, EngineUnavailableError

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_OTHERS = {"[": "!", "_": "."}
# Where a shell looks for a program: at the start, after an operator, and after words that take a command.
_BUILT_IN = frozenset({"[", "echo", "false", "kill", "printf", "pwd", "test", "true"})  # of the shell: no program
_COMMAND = r"(?:^|[;&|({{]|&&|\|\||\$\(|\b(?:exec|then|do|else)\b)\s*"


@dataclass(frozen=True, slots=True)
class Names:
    """The new name of each applet and tool, and a busybox that answers to them."""

    of: dict[str, str]
    busybox: bytes

    def word(self, word: str) -> str:
        """One argument: a program's name or path, a script, or something else, which stays as it is."""
        directory, slash, name = word.rpartition("/")
        if name in self.of and (not slash or directory in ("", "/bin", "/opt/tools", "/jail/bin")):
            return f"{directory}{slash}{self.of[name]}"
        return self.script(word) if re.search(r"[\s;|&]", word) else word

    def script(self, script: str) -> str:
        """A shell script with every program under its new name."""
        names = "|".join(sorted(map(re.escape, self.of), key=len, reverse=True))
        commands = "|".join(sorted(map(re.escape, self.of.keys() - _BUILT_IN), key=len, reverse=True))
        renamed = re.sub(rf"(?m)({_COMMAND})({commands})(?=\s|$|;)", lambda found: found[1] + self.of[found[2]], script)
        return re.sub(rf"(/bin/|/opt/tools/)({names})(?![\w.-])", lambda found: found[1] + self.of[found[2]], renamed)


def make_names(tools: Path) -> Names:
    """New names, of this run only."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise EngineUnavailableError("busybox is not installed (package busybox-static)")
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    program, table = Path(busybox).read_bytes(), _table(listed)
    if program.count(table) != 1:
        raise EngineUnavailableError("this busybox keeps the names of its applets in another way")
    chance = random.SystemRandom()
    for _ in range(100):
        letters = sorted(chance.sample(_LETTERS + _LETTERS.upper(), len(_LETTERS)))
        instead = str.maketrans("".join((_LETTERS, *_OTHERS)), "".join((*letters, *_OTHERS.values())))
        changed = [each.translate(instead) for each in listed]
        if changed == sorted(changed) and not set(changed) & set(listed):
            break
    else:
        raise EngineUnavailableError("no new names keep the order of the old ones")
    others = {each: f"t{secrets.token_hex(4)}" for each in ("busybox", *sorted(path.name for path in tools.iterdir()))}
    return Names(dict(zip(listed, changed, strict=True)) | others, program.replace(table, _table(changed)))


def _table(names: Sequence[str]) -> bytes:
    return b"".join(name.encode() + b"\0" for name in names)


@dataclass(slots=True)
class RenamedEngine(Engine):
    """An engine whose containers know every program by its new name only."""

    names: Names = field(default_factory=lambda: Names({}, b""))

    def run(self, *command: str | bytes, options: Sequence[str | bytes] = (), image: str = "") -> Container:
        """As an engine does it, translated."""
        words = [self.names.word(each) if isinstance(each, str) else each for each in command]
        return Engine.run(self, *words, options=options, image=image)

    def execute(
        self,
        container: Container,
        *command: str,
        options: Sequence[str] = (),
        check: bool = True,
        timeout_seconds: float = 60,
    ) -> str:
        """As an engine does it, translated."""
        words = [self.names.word(each) for each in command]
        return Engine.execute(self, container, *words, options=options, check=check, timeout_seconds=timeout_seconds)


@contextmanager
def known_by(names: Names) -> Iterator[None]:
    """While the block runs, programs are looked for under their new names."""
    processes.NEW_NAMES.update(names.of)
    try:
        yield
    finally:
        processes.NEW_NAMES.clear()
