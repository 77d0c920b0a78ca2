"""The service's own keys: callers encrypt passwords for one, one opens nodes, one seals secrets."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from api.errors import FirstboxError
from api.settings import Settings
from api.store.sealing import KEY_FILE, new_key

_LOGIN = "login_rsa.pem"
_SSH = "ssh_ed25519"


def make_keys(settings: Settings) -> list[Path]:
    """Make the keys that are missing, and say which; a key that is there is never touched."""
    make_private_directory(settings.keys)
    made = []
    login, ssh = settings.keys / _LOGIN, settings.keys / _SSH
    if not login.exists() and _place(login, _new_login_key(), 0o600):
        made.append(login)
    if not ssh.exists() and _place(ssh, _new_ssh_key(), 0o600):
        made.append(ssh)
    sealing = settings.keys / KEY_FILE
    if not sealing.exists() and _place(sealing, new_key(), 0o600):
        made.append(sealing)
    public = ssh.with_suffix(".pub")
    if not public.exists() and _place(public, _ssh_public_line(ssh), 0o644):
        made.append(public)
    return made


def missing_keys(settings: Settings) -> list[Path]:
    """The keys that are not there, and that nothing there could give back."""
    names = (_LOGIN, _SSH, KEY_FILE)
    return [settings.keys / name for name in names if not (settings.keys / name).exists()]


def make_private_directory(path: Path) -> None:
    """A directory that nobody but its owner can look into."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def load_login_key(settings: Settings) -> RSAPrivateKey:
    """The private key that opens what callers encrypted for us."""
    path = settings.keys / _LOGIN
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise FirstboxError(
            f"The login key {path} cannot be read ({error.strerror}): run `firstbox init`."
        ) from error
    if not isinstance(key, RSAPrivateKey):
        raise FirstboxError(f"The login key {path} is not an RSA key.")
    return key


def _new_login_key() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=3072)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_ssh_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _ssh_public_line(private: Path) -> bytes:
    key = load_ssh_private_key(private.read_bytes(), None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" firstbox\n"


def _place(path: Path, content: bytes, mode: int) -> bool:
    """Write a file whole or not at all; False if another process was faster."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
