"""How deep the stack of the eBPF programs gets, from the object file, by the rule of kernels that are older than ours.

Linux allows 512 bytes for a program and all functions that are on its stack with it. 6.1 rounds each one up to a
multiple of 32 (check_max_stack_depth in kernel/bpf/verifier.c), newer kernels to one of 16. Reads ELF64, little-endian
(elf(5)), and eBPF instructions (RFC 9669): a frame is as deep as the lowest address that is made from register 10.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

STACK_BYTES = 512
FRAME_MULTIPLE = 32
MAX_FRAMES = 8  # MAX_CALL_FRAMES, include/linux/bpf_verifier.h

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_INSTRUCTION = struct.Struct("<BBhi")
_SHT_SYMTAB, _SHT_NOBITS, _SHT_REL = 2, 8, 9
_STT_FUNC, _STT_SECTION = 2, 3
_CALL, _PSEUDO_CALL = 0x85, 1
_MOV64_X, _ADD64_K = 0xBF, 0x07
_WIDE = 0x18  # an instruction of two places
_LDX, _ST, _STX = 0x01, 0x02, 0x03
_FRAME_POINTER = 10


@dataclass(slots=True)
class Function:
    """A function of the object: how deep its frame is, and whom it calls."""

    name: str
    is_program: bool
    depth: int = 0
    calls: set[tuple[int, int]] = field(default_factory=set)


class Section(NamedTuple):
    """A section's header, and its bytes."""

    kind: int
    link: int
    about: int
    data: bytes


def _sections(elf: bytes) -> list[Section]:
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    found = []
    for number in range(count):
        _, kind, _, _, offset, length, link, about, _, _ = _SECTION.unpack_from(elf, table + number * size)
        found.append(Section(kind, link, about, b"" if kind == _SHT_NOBITS else elf[offset : offset + length]))
    return found


def functions(elf: bytes) -> dict[tuple[int, int], Function]:
    """The functions of an object file, by section and place in it."""
    sections = _sections(elf)
    symbols_at = next(number for number, each in enumerate(sections) if each.kind == _SHT_SYMTAB)
    symbols = list(_SYMBOL.iter_unpack(sections[symbols_at].data))
    names = sections[sections[symbols_at].link].data
    targets = {
        (each.about, offset): symbols[info >> 32]
        for each in sections
        if each.kind == _SHT_REL
        for offset, info in _RELOCATION.iter_unpack(each.data)
    }
    found: dict[tuple[int, int], Function] = {}
    for name, info, _, section, value, size in symbols:
        if info & 15 != _STT_FUNC:
            continue
        text = names[name : names.index(b"\0", name)].decode()
        made = Function(text, is_program=info >> 4 == 1)
        code = sections[section].data[value : value + size]
        made.depth = _depth(code)
        for place, relative in _calls(code):
            target = targets.get((section, value + place))
            if target is None:
                made.calls.add((section, value + place + 8 + relative * 8))
            elif target[1] & 15 == _STT_SECTION:
                made.calls.add((target[3], (relative + 1) * 8))
            else:
                made.calls.add((target[3], target[4]))
        found[section, value] = made
    return found


def _instructions(code: bytes) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Place, opcode, destination, source, offset and immediate value of each."""
    place = 0
    while place < len(code):
        opcode, registers, offset, immediate = _INSTRUCTION.unpack_from(code, place)
        yield place, opcode, registers & 15, registers >> 4, offset, immediate
        place += 16 if opcode == _WIDE else 8


def _calls(code: bytes) -> list[tuple[int, int]]:
    return [
        (place, immediate)
        for place, opcode, _, source, _, immediate in _instructions(code)
        if opcode == _CALL and source == _PSEUDO_CALL
    ]


def _depth(code: bytes) -> int:
    lowest, copies = 0, set()
    for _, opcode, to, source, offset, immediate in _instructions(code):
        kind = opcode & 7
        if (kind == _LDX and source == _FRAME_POINTER) or (kind in (_ST, _STX) and to == _FRAME_POINTER):
            lowest = min(lowest, offset)
        if opcode == _ADD64_K and to in copies:
            lowest = min(lowest, immediate)
        copies.discard(to)
        if opcode == _MOV64_X and source == _FRAME_POINTER:
            copies.add(to)
    return -lowest


def deepest(found: dict[tuple[int, int], Function], at: tuple[int, int]) -> tuple[int, tuple[str, ...]]:
    """The bytes of the deepest chain of calls that begins at a function, and the chain, each with its own bytes."""
    own = found[at]
    frame = -(-max(own.depth, 1) // FRAME_MULTIPLE) * FRAME_MULTIPLE
    below = max((deepest(found, each) for each in own.calls), default=(0, ()))
    return frame + below[0], (f"{own.name} {own.depth}", *below[1])
