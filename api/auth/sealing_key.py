"""The life of the sealing key's file: a next key is made, takes over, and the old ones are dropped.

Where several hosts share a database, each has to know a key before another seals with it: that is
what `next` is for. The file is replaced as a whole, and running processes notice.
"""

import hashlib
import os
import secrets
from pathlib import Path

from api.settings import Settings
from api.store.sealing import KEY_FILE, NEXT, KeyFile, new_key, read_keys


def add_next(settings: Settings) -> KeyFile:
    """Put a next key into the file, or keep the one that is there: it opens, and seals nothing yet."""
    known = read_keys(_path(settings))
    if known.next is not None:
        return known
    return _write(settings, KeyFile(known.first, known.old, new_key().strip()))


def use_next(settings: Settings) -> KeyFile:
    """Seal with the next key from now on; it is made if there is none. The old ones still open.

    While there are old keys and no next one the rotation is under way, and nothing changes.
    """
    known = read_keys(_path(settings))
    if known.next is None and known.old:
        return known
    first = known.next or new_key().strip()
    return _write(settings, KeyFile(first, (known.first, *known.old)))


def drop_old(settings: Settings) -> int:
    """Forget the old keys, and say how many: what is sealed with them is lost."""
    known = read_keys(_path(settings))
    _write(settings, KeyFile(known.first, (), known.next))
    return len(known.old)


def rotation_time(settings: Settings) -> float:
    """When the file was last changed, in seconds since 1970."""
    return _path(settings).stat().st_mtime


def name_of(key: bytes) -> str:
    """A name for people to compare hosts by, which tells nothing of the key."""
    return hashlib.sha256(b"name of " + key).hexdigest()[:8]


def _write(settings: Settings, keys: KeyFile) -> KeyFile:
    """Replace the file whole; a process that reads meanwhile sees the old one or the new one."""
    lines = [keys.first, *keys.old, *([NEXT + b" " + keys.next] if keys.next else [])]
    path = _path(settings)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            state = path.stat()
            os.fchown(file.fileno(), state.st_uid, state.st_gid)  # also when root rotates
            file.write(b"\n".join(lines) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return keys


def _path(settings: Settings) -> Path:
    return settings.keys / KEY_FILE
