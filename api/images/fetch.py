"""Files from elsewhere, believed only with the checksum, and the signature, that somebody trusts."""

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from api.errors import FirstboxError, Malformed
from api.images.progress import Advance

_STALL = 30.0  # seconds without a byte
_PIECE = 1 << 20
_LENGTHS = {"sha256": 64, "sha512": 128}


@dataclass(frozen=True, slots=True)
class Checksum:
    """What somebody trusts a file to be."""

    kind: str  # sha256 or sha512
    value: str

    def __post_init__(self) -> None:
        length = _LENGTHS[self.kind]
        if not re.fullmatch(f"[0-9a-f]{{{length}}}", self.value):
            raise Malformed.field(self.kind, f"is not {length} hexadecimal digits.")


def fetch(source: str, target: Path, checksum: Checksum, advance: Advance) -> Path:
    """The verified file of a path or a http, https or file URL; fetched into `target` if it is not here.

    Raises FirstboxError.
    """
    address = urlsplit(source)
    if address.scheme in ("http", "https"):
        path, fetched = target, _downloaded(source, target, checksum, advance)
    elif address.scheme == "file" or "://" not in source:
        path = Path(unquote(address.path)) if address.scheme == "file" else Path(source)
        fetched = _digest_of(path, checksum, advance)
    else:
        raise FirstboxError(f"{source} is no path and no http, https or file URL.")
    if fetched != checksum.value:
        raise FirstboxError(
            f"{source} has the {checksum.kind} {fetched}, and {checksum.value} was expected: "
            "it is damaged or another file."
        )
    return path


def verify_signature(file: Path, signature: Path, keyring: Path) -> None:
    """Expect a detached OpenPGP signature by a key of this keyring. Raises FirstboxError."""
    for needed in (signature, keyring):
        if not needed.is_file():
            raise FirstboxError(f"There is no file {needed}.")
    checked = subprocess.run(
        ["gpgv", "--keyring", str(keyring.absolute()), str(signature), str(file)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "GNUPGHOME": "/nonexistent"},
    )
    if checked.returncode:
        words = [line.removeprefix("gpgv: ") for line in checked.stderr.splitlines()]
        raise FirstboxError(
            f"The signature {signature} is not one of {keyring} over the image: {' '.join(words)}"
        )


def _digest_of(path: Path, checksum: Checksum, advance: Advance) -> str:
    if not path.is_file():
        raise FirstboxError(f"There is no file {path}.")
    seen, total = hashlib.new(checksum.kind), path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            seen.update(piece)
            advance(file.tell(), total)
    return seen.hexdigest()


def _downloaded(url: str, target: Path, checksum: Checksum, advance: Advance) -> str:
    seen = hashlib.new(checksum.kind)
    try:
        with (
            httpx.stream("GET", url, timeout=_STALL, follow_redirects=True) as answer,
            target.open("wb") as file,
        ):
            if answer.status_code != httpx.codes.OK:
                raise FirstboxError(f"{url} was answered with HTTP {answer.status_code}.")
            total = int(answer.headers.get("content-length", "0"))
            for piece in answer.iter_raw(_PIECE):
                seen.update(piece)
                file.write(piece)
                advance(file.tell(), total)
    except httpx.TimeoutException as error:
        raise FirstboxError(f"{url} stood still for {_STALL:g} s.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FirstboxError(f"{url} cannot be fetched: {error}.") from error
    return seen.hexdigest()
