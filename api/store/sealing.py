"""Secrets in the database are sealed with a key that lies outside of it: `keys/sealing.key`.

The file has a key a line: all of them open, the first one seals (Fernet, AES-128 with HMAC-SHA256).
A line `next KEY` is a key that will seal later (see `api/auth/sealing_key.py`). A database file alone
tells nobody a BMC's password.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from api.errors import FirstboxError

KEY_FILE = "sealing.key"
NEXT = b"next"


def new_key() -> bytes:
    """The content of a new key file."""
    return Fernet.generate_key() + b"\n"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The keys as they stand in the file: the first seals, old ones open, the next one waits."""

    first: bytes
    old: tuple[bytes, ...] = ()
    next: bytes | None = None

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every key that opens, the one that seals first."""
        return (self.first, *self.old, *([self.next] if self.next else []))


def read_keys(file: Path) -> KeyFile:
    """The keys in a file. Raises FirstboxError where it is missing or is no key file."""
    try:
        lines = [line.split() for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise _unreadable(file, error) from error
    waiting = [words[-1] for words in lines if words[0] == NEXT]
    opening = [words[-1] for words in lines if words[0] != NEXT]
    if not opening:
        raise FirstboxError(f"The sealing key {file} is empty: restore it from its backup.")
    if len(waiting) > 1:
        raise FirstboxError(f"{file} has {len(waiting)} lines `next KEY`: one is the most.")
    return KeyFile(opening[0], tuple(opening[1:]), waiting[0] if waiting else None)


class Seal:
    """Closes and opens secrets with the keys of one directory, as the file has them at that moment.

    A key that is rotated needs no process to be started again.
    """

    def __init__(self, keys: Path) -> None:
        self._file = keys / KEY_FILE
        self._read()  # who has no key is told before the work begins

    def close(self, secret: str) -> str:
        """The secret as it may stand in the database; "" stays ""."""
        return self._read().first.encrypt(secret.encode()).decode() if secret else ""

    def open(self, sealed: str) -> str:
        """The secret itself. Raises FirstboxError when none of the keys fits."""
        if not sealed:
            return ""
        try:
            return self._read().all.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise FirstboxError(
                f"A secret in the database was sealed with a key that {self._file} does not have: "
                "restore that file from the backup the database came from, or copy it from the "
                "host where the key was rotated."
            ) from None

    def is_current(self, sealed: str) -> bool:
        """Whether the first key sealed it; "" needs no key."""
        if not sealed:
            return True
        try:
            self._read().first.decrypt(sealed.encode())
        except InvalidToken:
            return False
        return True

    def sign(self, text: str) -> str:
        """32 hexadecimal digits that nobody without the key can make for this text."""
        return _signature(self._read().keys[0], text)

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether `sign` made this signature, with any of the keys."""
        made = (_signature(key, text) for key in self._read().keys)
        return any(hmac.compare_digest(one, signature) for one in made)

    def _read(self) -> "_Open":
        try:
            state = self._file.stat()
        except OSError as error:
            raise _unreadable(self._file, error) from error
        return _opened(self._file, (state.st_ino, state.st_mtime_ns, state.st_size))


@dataclass(frozen=True, slots=True)
class _Open:
    """A key file, ready for use."""

    keys: tuple[bytes, ...]
    first: Fernet
    all: MultiFernet


@lru_cache(maxsize=16)
def _opened(file: Path, _state: tuple[int, int, int]) -> _Open:
    """The keys of a file in this state: in another one it is read again."""
    keys = read_keys(file).all
    try:
        fernets = [Fernet(key) for key in keys]
    except ValueError:
        message = f"{file} has a line that is no key: restore it from its backup."
        raise FirstboxError(message) from None
    return _Open(keys, fernets[0], MultiFernet(fernets))


def _unreadable(file: Path, error: OSError) -> FirstboxError:
    return FirstboxError(
        f"The sealing key {file} cannot be read ({error.strerror}): run `firstbox init`."
    )


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]
