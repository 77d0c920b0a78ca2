"""The command `firstbox`. What a command needs is imported when it runs, so that help is quick."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api import audit_command, backup_commands, image_commands, key_commands, webhook_commands
from api.errors import Conflict, FirstboxError
from api.terminal import (
    audited,
    opened_database,
    read_settings,
    say,
    show_table,
    tell,
    translated_errors,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from api.settings import Settings

app = typer.Typer(
    name="firstbox",
    help="Finds, installs and takes stock of the machines of a private cloud.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
user_app = typer.Typer(help="Who may log in.", no_args_is_help=True)
token_app = typer.Typer(help="Bearer tokens, for scripts.", no_args_is_help=True)
app.add_typer(user_app, name="user")
app.add_typer(token_app, name="token")
app.add_typer(image_commands.app, name="image")
app.add_typer(key_commands.app, name="key")
app.command("backup")(backup_commands.back_up)
app.command("restore")(backup_commands.restore)
app.add_typer(webhook_commands.app, name="webhook")
app.command("audit")(audit_command.show_audit)

PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File whose first line is the password; `-` reads standard input."),
]
Zones = Annotated[
    list[str] | None,
    typer.Option("--zone", help="Zone to serve, may be repeated; else FIRSTBOX_SERVED_ZONES."),
]
AskPassword = Annotated[bool, typer.Option("--ask-password", help="Ask for the password.")]
UserId = Annotated[str, typer.Argument(help="User id.")]


def main() -> None:
    """Run the command; what went wrong is one sentence, and exit code 1."""
    try:
        app()
    except FirstboxError as error:
        tell(" ".join(error.message.split()))  # drivers break their lines
        sys.exit(1)


@app.command()
def init(
    admin_user: Annotated[str, typer.Option(help="User id of the first admin.")] = "admin",
    password_file: PasswordFile = None,
    *,
    ask_password: AskPassword = False,
    new_keys: Annotated[
        bool, typer.Option(help="Make keys even for a database that is in use with lost ones.")
    ] = False,
) -> None:
    """Make the home directory, keys, database and first admin; safe to repeat.

    Without a password given, one is made and printed, this once.
    """
    from api.auth.keys import make_private_directory
    from api.store.session import alone

    settings = read_settings()
    say(f"Home is {settings.home}.")
    with _translated_os_errors():
        make_private_directory(settings.home)
    with translated_errors(), alone(settings.database):
        _prepare(settings, new_keys=new_keys)
        with opened_database(settings) as engine:
            _first_admin(engine, admin_user, password_file, ask_password=ask_password)


def _prepare(settings: "Settings", *, new_keys: bool) -> None:
    """Keys and tables. A database that is in use keeps its keys: others would open nothing in it."""
    from api.auth.keys import make_keys, missing_keys
    from api.jobs import queue
    from api.store.session import migrate

    missing = missing_keys(settings)
    if missing and not new_keys and _is_in_use(settings):
        raise Conflict(
            f"The database {_shown(settings.database)} is in use, and {_names(missing)} of its keys "
            f"are not here. Copy {settings.keys} from a host that has them, or from the backup; if "
            "they are lost, `firstbox init --new-keys` makes others."
        )
    with _translated_os_errors():
        made = make_keys(settings)
    say(f"Made keys: {_names(made)}." if made else f"The keys are in {settings.keys} already.")
    migrate(settings.database)
    queue.prepare(settings)
    say(f"The database {_shown(settings.database)} has this release's tables.")


def _is_in_use(settings: "Settings") -> bool:
    from api.store.session import open_database, reading
    from api.store.users import is_anybody_known

    engine = open_database(settings.database, pool_size=1)
    try:
        with reading(engine) as connection:
            return is_anybody_known(connection)
    finally:
        engine.dispose()


@contextmanager
def _translated_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FirstboxError(f"{error.filename}: {error.strerror}.") from error


def _first_admin(
    engine: "Engine", user_id: str, password_file: Path | None, *, ask_password: bool
) -> None:
    from api.auth.passwords import hash_password
    from api.domain import users
    from api.states import Role
    from api.store.session import writing
    from api.store.users import lock_admins

    with writing(engine) as connection:
        admins = sorted(lock_admins(connection))
    if admins:
        say(f"There is an admin already: {', '.join(admins)}.")
        return
    password, is_made = _password(password_file, ask=ask_password)
    password_hash = hash_password(password)
    asked = {"user_id": user_id, "role": Role.ADMIN}
    with audited(engine, "CreateUser", asked), writing(engine) as connection:
        users.create(connection, user_id=user_id, password_hash=password_hash, role=Role.ADMIN)
    say(f"Made the first admin: {user_id}.")
    _show_made(password, is_made=is_made)


@app.command("check")
def check_host() -> None:
    """Say whether a service could start here: settings, keys, and a database of this release."""
    from api.auth.keys import load_login_key, missing_keys
    from api.store.release import check_release
    from api.store.resealing import check_seal
    from api.store.sealing import Seal
    from api.store.session import reading

    settings = read_settings()
    if missing := missing_keys(settings):
        raise FirstboxError(f"{_names(missing)} are not there: copy the keys of another host.")
    load_login_key(settings)
    with opened_database(settings) as engine:
        is_ours = check_release(engine)
        with reading(engine) as connection:
            check_seal(connection, Seal(settings.keys))
    if not is_ours:
        tell("The database has tables of a newer release: install it here, too.")
    say(f"The database {_shown(settings.database)} answers, and the keys in {settings.keys} fit.")


@app.command()
def serve(
    *,
    worker: Annotated[bool, typer.Option(help="Run a worker beside the API.")] = True,
) -> None:
    """Answer the API, and run jobs, until told to stop."""
    from api.logs import log_to_stderr
    from api.serving import serve as serve_until_stopped

    settings = read_settings()
    with opened_database(settings):
        log_to_stderr(settings.log_format)
    serve_until_stopped(settings, with_worker=worker)


@app.command()
def worker(
    zone: Zones = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Jobs at a time; else FIRSTBOX_WORKER_CONCURRENCY."),
    ] = None,
) -> None:
    """Run jobs until told to stop."""
    from api.jobs.worker import work
    from api.logs import log_to_stderr

    settings = read_settings(served_zones=zone, worker_concurrency=concurrency)
    with opened_database(settings):
        log_to_stderr(settings.log_format)
    work(settings)


@app.command()
def boot(zone: Zones = None) -> None:
    """Answer machines that are to boot over the network (DHCP, TFTP), until told to stop."""
    from api.boot.keeper import keep
    from api.logs import log_to_stderr

    settings = read_settings(served_zones=zone)
    with opened_database(settings):
        log_to_stderr(settings.log_format)
    keep(settings)


@app.command("boot-probe")
def probe_boot_network(
    interface: Annotated[str, typer.Argument(help="Network interface machines boot from.")],
) -> None:
    """Look for other DHCP servers where machines boot; exit code 1 when there is one."""
    from api.boot.probe import refuse_beside_others

    refuse_beside_others(interface)
    say(f"No other DHCP server answers on {interface}.")


@user_app.command("add")
def add_user(
    user_id: UserId,
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")] = "viewer",
    description: Annotated[str, typer.Option(help="Who this is.")] = "",
    password_file: PasswordFile = None,
    *,
    ask_password: AskPassword = False,
) -> None:
    """Add a user. Without a password given, one is made and printed, this once."""
    from api.auth.passwords import hash_password
    from api.domain import users
    from api.store.session import writing

    known_role = _role(role)
    with opened_database(read_settings()) as engine:
        password, is_made = _password(password_file, ask=ask_password)
        password_hash = hash_password(password)
        asked = {"user_id": user_id, "role": known_role, "description": description}
        with audited(engine, "CreateUser", asked), writing(engine) as connection:
            users.create(
                connection,
                user_id=user_id,
                password_hash=password_hash,
                role=known_role,
                description=description,
            )
    say(f"Made user {user_id} with the role {known_role}.")
    _show_made(password, is_made=is_made)


@user_app.command("list")
def list_users() -> None:
    """Show the users."""
    from api.domain import users
    from api.store.session import reading
    from api.store.users import find_users

    with opened_database(read_settings()) as engine, reading(engine) as connection:
        _total, rows = find_users(connection, [])
    show_table([users.view(row) for row in rows])


@user_app.command("passwd")
def change_password(
    user_id: UserId, password_file: PasswordFile = None, *, ask_password: AskPassword = False
) -> None:
    """Give a user a new password. Without one given, one is made and printed, this once."""
    from api.auth.passwords import hash_password
    from api.domain import users
    from api.store.session import reading, writing

    with opened_database(read_settings()) as engine:
        with reading(engine) as connection:
            users.known(connection, [user_id])
        password, is_made = _password(password_file, ask=ask_password)
        password_hash = hash_password(password)
        asked = {"user_id": user_id, "password": "******"}
        with audited(engine, "ModifyUserAttributes", asked), writing(engine) as connection:
            users.change(connection, user_id, password_hash=password_hash)
    say(f"User {user_id} has a new password.")
    _show_made(password, is_made=is_made)


@user_app.command("delete")
def delete_users(user_ids: Annotated[list[str], typer.Argument(help="User ids.")]) -> None:
    """Delete users and their tokens, all or nothing."""
    from api.domain import users
    from api.store.session import writing

    with (
        opened_database(read_settings()) as engine,
        audited(engine, "DeleteUsers", {"user_ids": user_ids}),
        writing(engine) as connection,
    ):
        users.delete(connection, user_ids, caller_id=None)
    say(f"Deleted {', '.join(user_ids)}.")


@token_app.command("create")
def create_token(
    user: Annotated[str, typer.Option(help="Whose token.")],
    days: Annotated[int | None, typer.Option(help="Days until it expires.")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Print a new token, this once: it is not kept. It may do what its user may do."""
    from api.domain import users
    from api.store.session import writing

    settings = read_settings()
    days = settings.token_days if days is None else days
    asked = {"user_id": user, "name": name, "days": days}
    with (
        opened_database(settings) as engine,
        audited(engine, "CreateToken", asked) as entry,
        writing(engine) as connection,
    ):
        token_id, token = users.create_token(connection, user, name=name, days=days)
        entry.answer = token_id
    tell(f"Token {token_id} of user {user} is good for {days} days:")
    say(token)


@token_app.command("list")
def list_tokens(
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
) -> None:
    """Show the tokens there are; not the tokens themselves, which nobody knows."""
    import time

    from api.domain import users
    from api.store.session import reading
    from api.store.users import get_tokens

    with opened_database(read_settings()) as engine, reading(engine) as connection:
        rows = get_tokens(connection, user)
    show_table([users.token_view(row, time.time()) for row in rows])


@token_app.command("revoke")
def revoke_token(token_id: Annotated[str, typer.Argument(help="Token id, t-...")]) -> None:
    """Make a token worthless; the service knows within two seconds."""
    from api.domain import users
    from api.store.session import writing

    with (
        opened_database(read_settings()) as engine,
        audited(engine, "RevokeToken", {"token_id": token_id}),
        writing(engine) as connection,
    ):
        user_id = users.revoke_token(connection, token_id)
    say(f"Revoked token {token_id} of user {user_id}.")


@app.command("settings")
def show_settings() -> None:
    """Show every setting: its name in the environment, its value, and what it is for."""
    settings = read_settings()
    for name, field in type(settings).model_fields.items():
        say(f"FIRSTBOX_{name.upper()}={_value(settings, name)}\n    {field.description}")


def _password(password_file: Path | None, *, ask: bool) -> tuple[str, bool]:
    """The password, and whether we made it up."""
    from api.auth.passwords import new_password

    if password_file is not None:
        return _first_line(password_file), False
    if ask:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)), False
    return new_password(), True


def _first_line(path: Path) -> str:
    try:
        text = sys.stdin.readline() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FirstboxError(f"The password file {path} cannot be read: {error}.") from None
    return text.partition("\n")[0].rstrip("\r")


def _role(text: str) -> Any:
    from api.states import Role

    try:
        return Role(text)
    except ValueError:
        raise FirstboxError(
            f"There is no role {text}; there are {', '.join(role.value for role in Role)}."
        ) from None


def _value(settings: "Settings", name: str) -> str:
    """A setting as it would stand in the environment; passwords in URLs are left out."""
    import json

    value = settings.model_dump(mode="json")[name]
    if name == "database_url":
        return _shown(settings.database)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _shown(url: str) -> str:
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)


def _show_made(password: str, *, is_made: bool) -> None:
    if is_made:
        say(f"Password, shown this once: {password}")


def _names(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths)


if __name__ == "__main__":
    main()
