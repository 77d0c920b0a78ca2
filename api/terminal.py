"""What every command does: read the settings, open the database, talk to who typed it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from api.errors import FirstboxError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from api.domain.audit import Entry
    from api.settings import Settings


def read_settings(**given: Any) -> "Settings":
    """This command's settings, or a sentence about what is wrong with them.

    What was `given` on the command line, and is not None, wins.
    """
    from pydantic import ValidationError

    from api.settings import load_settings

    try:
        return load_settings(**given)
    except ValidationError as error:
        # The value may be a secret: the sentence leaves it out.
        faults = [f"FIRSTBOX_{_path(one['loc'])}: {one['msg']}" for one in error.errors()]
        raise FirstboxError(f"The settings are refused. {'; '.join(faults)}.") from None
    except ValueError as error:
        raise FirstboxError(f"The settings are refused: {error}.") from None


def _path(place: tuple[int | str, ...]) -> str:
    first, *rest = (str(part) for part in place)
    return ".".join([first.upper(), *rest])


@contextmanager
def opened_database(settings: "Settings") -> "Iterator[Engine]":
    """The database that `firstbox init` made."""
    from sqlalchemy import make_url

    from api.store.session import open_database

    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise FirstboxError(f"There is no database {url.database}: run `firstbox init` first.")
    engine = open_database(settings.database)
    try:
        with translated_errors():
            yield engine
    finally:
        engine.dispose()


@contextmanager
def translated_errors() -> Iterator[None]:
    """What the database refuses becomes one sentence."""
    from sqlalchemy.exc import SQLAlchemyError

    from api.store.session import translated

    try:
        with translated():
            yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise FirstboxError(f"The database refused: {cause}") from error


@contextmanager
def audited(engine: "Engine", action: str, asked: dict[str, Any]) -> "Iterator[Entry]":
    """What is done within stands in the audit, under the name of who typed the command."""
    import json

    from api.domain.audit import recorded
    from api.store.audit import Asking

    asking = Asking(_login_name(), "shell", action)
    with recorded(engine, asking, json.dumps(asked, ensure_ascii=False)) as entry:
        yield entry


def _login_name() -> str:
    import getpass
    import os

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return str(os.getuid())


def show_table(rows: list[dict[str, Any]]) -> None:
    """Rows of the same columns, aligned, for people and for `cut`."""
    if not rows:
        tell("There are none.")
        return
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    for row in [{name: name for name in widths}, *rows]:
        say("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())


def say(text: str) -> None:
    """The answer, on stdout."""
    typer.echo(text)


def tell(text: str) -> None:
    """Words for people, on stderr, so that stdout can be piped."""
    typer.echo(text, err=True)
