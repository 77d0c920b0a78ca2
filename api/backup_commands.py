"""`firstbox backup` and `firstbox restore`: everything that is nowhere else, in one directory."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.errors import Conflict, FirstboxError
from api.terminal import (
    audited,
    opened_database,
    read_settings,
    say,
    tell,
    translated_errors,
)

if TYPE_CHECKING:
    from api.settings import Settings

_SETTINGS = "firstbox.env"
_KEYS = "keys"


def back_up(
    directory: Annotated[Path, typer.Argument(help="A new directory, for this backup alone.")],
) -> None:
    """Copy database, keys and settings, while the service runs. Keep it as safe as the keys."""
    from api.store.backup import dump, file_name

    settings = read_settings()
    if directory.exists():
        raise Conflict(f"{directory} is there already: each backup has a directory of its own.")
    with (
        _translated(),
        opened_database(settings) as engine,
        audited(engine, "Backup", {"directory": str(directory)}),
        _made_whole(directory) as draft,
    ):
        dump(settings.database, draft / file_name(settings.database))
        shutil.copytree(settings.keys, draft / _KEYS)
        if (settings.home / _SETTINGS).exists():
            shutil.copy2(settings.home / _SETTINGS, draft / _SETTINGS)
    say(f"{directory} has database, keys and settings of {settings.home}.")


def restore(
    directory: Annotated[Path, typer.Argument(help="What `firstbox backup` made.")],
) -> None:
    """Make a new home, and an empty database, what a backup says; jobs that were not over are ended.

    Settings that are here already stay: they may name another database.
    """
    from api.auth.keys import make_private_directory
    from api.domain.restoring import end_unfinished_jobs
    from api.store.session import writing

    home = read_settings().home
    with _translated():
        make_private_directory(home)
        _bring_files(directory, home)
    settings = read_settings()  # once more: they may have come with the backup
    _bring_database(directory, settings)
    with (
        opened_database(settings) as engine,
        audited(engine, "Restore", {"directory": str(directory)}),
        writing(engine) as connection,
    ):
        ended = end_unfinished_jobs(connection)
    say(f"{home} is what {directory} says; {ended} jobs were not over, and are ended.")
    tell("Look at their machines before RetryJob: what the jobs did since is not known.")


def _bring_files(directory: Path, home: Path) -> None:
    if not (directory / _KEYS).is_dir():
        raise FirstboxError(f"{directory} is no backup: it has no {_KEYS}.")
    if (home / _KEYS).exists():
        raise Conflict(f"{home / _KEYS} is there already: move it away first.")
    if (directory / _SETTINGS).exists() and not (home / _SETTINGS).exists():
        shutil.copy2(directory / _SETTINGS, home / _SETTINGS)
    shutil.copytree(directory / _KEYS, home / _KEYS)


def _bring_database(directory: Path, settings: "Settings") -> None:
    from api.jobs import queue
    from api.store.backup import file_name, load
    from api.store.session import alone, migrate

    source = directory / file_name(settings.database)
    if not source.exists():
        raise FirstboxError(
            f"{directory} has no {source.name}: it was made of another kind of database than "
            "FIRSTBOX_DATABASE_URL names."
        )
    with translated_errors(), alone(settings.database):
        load(settings.database, source)
        migrate(settings.database)  # the backup may be an older release's
        queue.prepare(settings)


@contextmanager
def _made_whole(directory: Path) -> Iterator[Path]:
    """A directory for its owner alone, which gets its name when it is complete."""
    directory.absolute().parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.absolute().parent))
    try:
        yield draft
        draft.rename(directory)
    finally:
        if draft.exists():
            shutil.rmtree(draft)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FirstboxError(f"{error.filename}: {error.strerror}.") from error
