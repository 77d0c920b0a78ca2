"""`firstbox key`: the sealing key's rotation, while the service runs."""

import typer

from api.errors import Conflict
from api.terminal import audited, opened_database, read_settings, say, show_table, tell

app = typer.Typer(help="The key that seals secrets in the database.", no_args_is_help=True)


@app.command("list")
def list_keys() -> None:
    """Show the keys' names and uses, to compare hosts by; not the keys."""
    from api.auth.sealing_key import name_of
    from api.store.sealing import KEY_FILE, read_keys

    known = read_keys(read_settings().keys / KEY_FILE)
    rows = [(known.first, "seals and opens"), *((key, "opens") for key in known.old)]
    if known.next:
        rows.append((known.next, "opens; seals after `firstbox key rotate`"))
    show_table([{"key": name_of(key), "use": use} for key, use in rows])


@app.command("next")
def add_next_key() -> None:
    """Make the key that the next rotation takes, so that every host can have it before."""
    from api.auth.sealing_key import add_next, name_of

    settings = read_settings()
    known = add_next(settings)
    say(f"The next key is {name_of(known.next or b'')}.")
    tell(f"Copy {settings.keys}/sealing.key to every host, then: firstbox key rotate")


@app.command("rotate")
def rotate_key() -> None:
    """Seal with the next key from now on (made if there is none), and every secret anew.

    Safe to repeat: until `firstbox key retire` it goes on with what is not sealed anew yet.
    """
    from api.auth.sealing_key import name_of, use_next
    from api.store.resealing import reseal
    from api.store.sealing import Seal

    settings = read_settings()
    with (
        opened_database(settings) as engine,
        audited(engine, "RotateSealingKey", {}) as entry,
    ):
        known = use_next(settings)
        result = reseal(engine, Seal(settings.keys))
        entry.answer = f"{result.done} secrets were sealed anew"
    say(f"Key {name_of(known.first)} seals; {result.done} secrets were sealed anew.")
    if result.lost:
        tell(f"{result.lost} secrets can be opened with none of the keys, and stay as they are.")
    tell(f"Copy {settings.keys}/sealing.key to every host; a day later: firstbox key retire")


@app.command("retire")
def retire_keys() -> None:
    """Forget the old keys, once nothing needs them."""
    from api.auth.sealing_key import drop_old, rotation_time
    from api.store.resealing import count_older_boots, reseal
    from api.store.sealing import Seal
    from api.store.session import reading

    settings = read_settings()
    with opened_database(settings) as engine, audited(engine, "RetireSealingKeys", {}):
        late = reseal(engine, Seal(settings.keys)).done
        if late:
            raise Conflict(
                f"{late} secrets were sealed with an old key since the rotation, and are sealed anew "
                "now: does every host have the new sealing.key? Then retire again."
            )
        with reading(engine) as connection:
            booting = count_older_boots(connection, rotation_time(settings))
        if booting:
            raise Conflict(
                f"{booting} machines boot with addresses that an old key signed: retire it when "
                "they are done."
            )
        dropped = drop_old(settings)
    say(f"Forgot {dropped} old keys.")
