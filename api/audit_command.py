"""The command `firstbox audit`: who asked what, and how it ended."""

from typing import Annotated

import typer

from api.errors import FirstboxError
from api.terminal import opened_database, read_settings, say, show_table, tell

_WIDEST = 100  # characters of what was asked, in the table

Word = str | None


def show_audit(
    user: Annotated[Word, typer.Option(help="Only what this user asked.")] = None,
    action: Annotated[Word, typer.Option(help="Only this action, such as DeleteNodes.")] = None,
    address: Annotated[Word, typer.Option(help="Only from this address; `shell` is here.")] = None,
    request: Annotated[Word, typer.Option(help="Only the request with this id.")] = None,
    since: Annotated[Word, typer.Option(help="'YYYY-MM-DD HH:MM:SS', UTC.")] = None,
    until: Annotated[Word, typer.Option(help="'YYYY-MM-DD HH:MM:SS', UTC.")] = None,
    search: Annotated[Word, typer.Option(help="Part of what was asked or answered.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most entries, the last ones.")] = 50,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, whole.")] = False,
) -> None:
    """Show who asked what, from where, and how it ended; the newest last."""
    import json

    from api.domain.audit import view
    from api.store.audit import find_audit, matches
    from api.store.session import reading

    named = {"user_id": user, "action": action, "address": address, "request_id": request}
    conditions = matches(
        equal={name: value for name, value in named.items() if value is not None},
        ret_code=None,
        since=_seconds(since),
        until=_seconds(until),
        search_word=search,
    )
    with opened_database(read_settings()) as engine, reading(engine) as connection:
        total, rows = find_audit(connection, conditions, limit=limit)
    views = [view(row) for row in reversed(rows)]
    if as_json:
        for one in views:
            say(json.dumps(one, ensure_ascii=False))
        return
    shown = ("time", "user_id", "address", "action", "ret_code", "text")
    short = [one | {"text": one["text"][:_WIDEST]} for one in views]
    show_table([{name: one[name] for name in shown} for one in short])
    if total > len(rows):
        tell(f"The last {len(rows)} of {total}.")


def _seconds(time: str | None) -> float | None:
    from api.times import seconds

    try:
        return None if time is None else seconds(time)
    except ValueError:
        raise FirstboxError(f"{time} is not like 2026-03-01 17:45:00.") from None
