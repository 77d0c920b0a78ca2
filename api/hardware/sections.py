"""Cut the text a probe printed into its sections, trusting none of it."""

import re
from collections.abc import Iterator

MAX_CHARACTERS = 16_000_000
MAX_LINE = 32_768
MAX_LINES = 50_000
MAX_TEXT = 256

_HEADER = re.compile(r"%firstbox-probe 1 ([0-9A-Za-z-]{1,64})")
_NAME = re.compile(r"[a-z]{1,32}")
_CONTROL = dict.fromkeys([*range(9), *range(11, 32), 127])
_ESCAPE = re.compile(r"\\x([2-7][0-9a-fA-F])")
# A killed command: by `timeout` (124 or 137) or by anyone.
_CUT_SHORT = 124
_NOT_RUNNABLE = (126, 127)
# grep and others answer 1 when there is nothing to tell; more is a failure.
_NOTHING_FOUND = 1


class ProbeError(Exception):
    """The machine's answer is not a whole probe output; `missing` names what it lacks."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        super().__init__(
            f"The machine's answer to the hardware probe lacks {', '.join(missing)}: collect it "
            "again; if that does not help, run probe.sh on the machine and read what it prints."
        )


class Sections:
    """The complete sections of one output, by name; what was cut short is left out."""

    def __init__(self, lines: dict[str, list[str]]) -> None:
        self._lines = lines

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def lines(self, name: str) -> list[str]:
        """The lines of a section, none if it is absent."""
        return self._lines.get(name, [])

    def files(self, name: str) -> Iterator[tuple[str, str]]:
        """The (path, line) pairs of a section that prints files."""
        for line in self.lines(name):
            path, colon, value = line.partition(":")
            if colon:
                yield path, value[:MAX_TEXT].strip()


def split_sections(text: str) -> tuple[Sections, bool]:
    """The sections of the output, and whether it ends as a whole output ends."""
    lines = iter(_clean(text).split("\n"))
    word = next((match[1] for line in lines if (match := _HEADER.fullmatch(line))), None)
    found: dict[str, list[str]] = {}
    if word is None:
        return Sections(found), False
    begin, end, done = f"%begin {word} ", f"%end {word} ", f"%done {word}"
    name, content = "", list[str]()
    for line in lines:
        if not line:
            continue
        if line[0] == "%":
            if line == done:
                return Sections(found), True
            if line.startswith(begin):
                name, content = line[len(begin) :], []
                continue
            if line.startswith(end):
                if _is_whole(line.removeprefix(end), name, content):
                    found.setdefault(name, content)
                name, content = "", []
                continue
        if name and len(content) < MAX_LINES:
            content.append(line[:MAX_LINE])
    return Sections(found), False


def number(text: str, default: int = 0) -> int:
    """A decimal number that fits 63 bits, else the default."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return default
    return int(text)


def unescape(text: str) -> str:
    r"""Undo udev's and lsblk's \x20 for printable characters."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "\\x" in text else text


def _is_whole(ending: str, name: str, content: list[str]) -> bool:
    """Whether the section ended as begun, was not killed, and did not fail to tell anything."""
    ended, _, exit_code = ending.partition(" ")
    code = number(exit_code, default=_CUT_SHORT)
    is_killed = code >= _CUT_SHORT and code not in _NOT_RUNNABLE
    is_failed = code > _NOTHING_FOUND and not content
    return _NAME.fullmatch(name) is not None and ended == name and not (is_killed or is_failed)


def _clean(text: str) -> str:
    text = text[:MAX_CHARACTERS].translate(_CONTROL)
    if text.isascii():
        return text
    return "".join(
        character for character in text if character.isprintable() or character in "\n\t"
    )
