"""Secrets in the database are sealed with a key that lies outside of it: `keys/sealing.key`.

The file has a key a line, the newest first: all of them open, the first one seals (Fernet, AES-128
with HMAC-SHA256). A database file alone tells nobody a BMC's password.
"""

import hashlib
import hmac
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from api.errors import FirstboxError

KEY_FILE = "sealing.key"


def new_key() -> bytes:
    """The content of a new key file."""
    return Fernet.generate_key() + b"\n"


class Seal:
    """Closes and opens secrets with the keys of one directory."""

    def __init__(self, keys: Path) -> None:
        self._file = keys / KEY_FILE
        self._keys = _read(self._file)
        self._fernet = MultiFernet([Fernet(key) for key in self._keys])

    def close(self, secret: str) -> str:
        """The secret as it may stand in the database; "" stays ""."""
        return self._fernet.encrypt(secret.encode()).decode() if secret else ""

    def open(self, sealed: str) -> str:
        """The secret itself. Raises FirstboxError when none of the keys fits."""
        if not sealed:
            return ""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise FirstboxError(
                f"A secret in the database was sealed with a key that {self._file} does not have: "
                "restore that file from the backup the database came from."
            ) from None

    def sign(self, text: str) -> str:
        """32 hexadecimal digits that nobody without the key can make for this text."""
        return hmac.new(self._keys[0], text.encode(), hashlib.sha256).hexdigest()[:32]

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether `sign` made this signature, with any of the keys."""
        made = (hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32] for key in self._keys)
        return any(hmac.compare_digest(one, signature) for one in made)


@lru_cache(maxsize=16)
def _read(file: Path) -> tuple[bytes, ...]:
    try:
        keys = tuple(file.read_bytes().split())
    except OSError as error:
        raise FirstboxError(
            f"The sealing key {file} cannot be read ({error.strerror}): run `firstbox init`."
        ) from error
    if not keys:
        raise FirstboxError(f"The sealing key {file} is empty: restore it from its backup.")
    return keys
