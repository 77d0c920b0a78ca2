"""The database as a file, and back: SQLite copies itself, PostgreSQL has programs for it.

Both are taken in one moment, while the service goes on.
"""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import make_url

from api.errors import Conflict, FirstboxError

_DEADLINE = 6 * 3600.0  # seconds for the largest database


def file_name(url: str) -> str:
    """What the copy of such a database is called in a backup."""
    return "firstbox.db" if _is_sqlite(url) else "firstbox.dump"


def dump(url: str, to: Path) -> None:
    """Write the whole database, the queue's tables too, into a new file."""
    if _is_sqlite(url):
        _copy_sqlite(Path(make_url(url).database or ""), to)
    else:
        _run(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={to}")
    to.chmod(0o600)


def load(url: str, source: Path) -> None:
    """Make an empty database what the file says, all of it or nothing."""
    if _is_sqlite(url):
        _load_sqlite(source, Path(make_url(url).database or ""))
        return
    options = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _run(url, "pg_restore", *options, str(source))


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _copy_sqlite(database: Path, to: Path) -> None:
    source = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
    with closing(source), closing(sqlite3.connect(to)) as copy:
        source.backup(copy)


def _load_sqlite(source: Path, database: Path) -> None:
    beside = [database.with_name(f"{database.name}{end}") for end in ("", "-wal", "-shm")]
    if there := [str(path) for path in beside if path.exists()]:
        raise Conflict(f"{', '.join(there)} are there: stop the service, and move them away first.")
    draft = database.with_name(f".{database.name}.restored")
    shutil.copyfile(source, draft)
    draft.chmod(0o600)
    draft.rename(database)


def _run(url: str, program: str, *arguments: str) -> None:
    with _password_file(url) as environment:
        place = make_url(url).set(drivername="postgresql", password=None)
        command = [program, f"--dbname={place.render_as_string(hide_password=False)}", *arguments]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_DEADLINE
            )
        except FileNotFoundError:
            message = f"{program} is not installed here (Debian package postgresql-client)."
            raise FirstboxError(message) from None
        except subprocess.TimeoutExpired:
            raise FirstboxError(f"{program} took longer than {_DEADLINE:.0f} s.") from None
    if done.returncode:
        raise FirstboxError(f"{program} failed: {' '.join(done.stderr.split())[-500:]}")


@contextmanager
def _password_file(url: str) -> Iterator[dict[str, str]]:
    """An environment that leads libpq to the password, which it does not hold itself."""
    password = make_url(url).password
    if not password:
        yield dict(os.environ)
        return
    with tempfile.NamedTemporaryFile("w", prefix="pgpass-") as file:  # mode 0600
        escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
        file.write(f"*:*:*:*:{escaped}\n")
        file.flush()
        yield os.environ | {"PGPASSFILE": file.name}
