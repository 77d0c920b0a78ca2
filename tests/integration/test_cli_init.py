"""The command `firstbox`, as a process of its own in a home of its own."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.auth.callers import Callers
from api.auth.credentials import seal
from api.settings import Settings
from api.states import Role
from api.store.session import open_database

HERE = "192.0.2.1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def initialised(home: Path) -> Path:
    good(home, "init", "--password-file", "-", stdin="correct horse battery\n")
    return home


def test_init_makes_a_home_that_the_printed_password_opens(home: Path) -> None:
    said = good(home, "init")

    assert (home.stat().st_mode & 0o777, (home / "keys").stat().st_mode & 0o777) == (0o700, 0o700)
    password = re.search(r"shown this once: (\w{20})$", said, re.MULTILINE)
    assert password
    assert log_in(home, "admin", password[1]) == Role.ADMIN


def test_init_twice_changes_nothing_and_says_so(home: Path) -> None:
    good(home, "init")
    before = {path.name: path.read_bytes() for path in (home / "keys").iterdir()}

    said = good(home, "init", "--admin-user", "another")

    assert "There is an admin already: admin." in said
    assert "already" in said
    assert "Password" not in said
    assert {path.name: path.read_bytes() for path in (home / "keys").iterdir()} == before


def test_init_takes_the_password_from_a_file(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse battery\n")

    said = good(home, "init", "--admin-user", "root", "--password-file", str(file))

    assert "correct horse" not in said
    assert log_in(home, "root", "correct horse battery") == Role.ADMIN


def test_init_can_be_repeated_after_a_refused_password(home: Path) -> None:
    refused = firstbox(home, "init", "--password-file", "-", stdin="short\n")
    assert (refused.returncode, "has 5 characters" in refused.stderr) == (1, True)

    assert "Made the first admin: admin." in good(home, "init")


@pytest.mark.parametrize("arguments", [("user", "list"), ("token", "list"), ("user", "add", "bob")])
def test_before_init_a_command_says_what_to_do(home: Path, arguments: tuple[str, ...]) -> None:
    refused = firstbox(home, *arguments)

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "firstbox init" in refused.stderr
    assert not home.exists()


def test_users_come_change_their_password_and_go(initialised: Path) -> None:
    good(initialised, "user", "add", "bob", "--role", "operator", "--description", "Bob")
    said = good(initialised, "user", "passwd", "bob")
    password = said.rsplit(" ", 1)[1].strip()
    assert log_in(initialised, "bob", password) == Role.OPERATOR
    assert re.search(r"^bob +operator +Bob ", good(initialised, "user", "list"), re.MULTILINE)

    good(initialised, "user", "delete", "bob")

    assert "bob" not in good(initialised, "user", "list")


def test_a_token_is_the_only_thing_on_stdout_and_is_good_until_revoked(initialised: Path) -> None:
    token = good(initialised, "token", "create", "--user", "admin", "--name", "backup").strip()
    assert token_role(initialised, token) == Role.ADMIN
    listed = good(initialised, "token", "list")
    assert token not in listed
    found = re.search(r"^(t-\w{8}) +admin +backup +good", listed, re.MULTILINE)
    assert found

    good(initialised, "token", "revoke", found[1])

    assert re.search(r"backup +revoked", good(initialised, "token", "list"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("user", "delete", "admin"), "No admin would be left without admin"),
        (("user", "delete", "nobody"), "There is no user nobody"),
        (("user", "passwd", "nobody"), "There is no user nobody"),
        (("user", "add", "admin"), "There is a user admin already"),
        (("user", "add", "a b"), "not a user id"),
        (("user", "add", "bob", "--role", "root"), "viewer, operator, admin"),
        (("user", "add", "bob", "--password-file", "/nowhere"), "/nowhere"),
        (("token", "create", "--user", "nobody"), "There is no user nobody"),
        (("token", "create", "--user", "admin", "--days", "0"), "0 is not between 1 and 3650"),
        (("token", "revoke", "t-00000000"), "There is no token t-00000000"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_1(
    initialised: Path, arguments: tuple[str, ...], words: str
) -> None:
    refused = firstbox(initialised, *arguments)

    assert refused.returncode == 1
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


def test_settings_show_every_setting_without_secrets(home: Path) -> None:
    said = good(home, "settings", FIRSTBOX_DATABASE_URL="postgresql://me:secret@127.0.0.1/x")

    for name, field in Settings.model_fields.items():
        assert re.search(rf"^FIRSTBOX_{name.upper()}=", said, re.MULTILINE)
        assert str(field.description) in said
    assert "secret" not in said
    assert "127.0.0.1/x" in said


def test_a_refused_setting_is_named_without_its_value(home: Path) -> None:
    refused = firstbox(home, "settings", FIRSTBOX_DATABASE_URL="mysql://me:secret@127.0.0.1/x")

    assert refused.returncode == 1
    assert "FIRSTBOX_DATABASE_URL" in refused.stderr
    assert "secret" not in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_database_that_is_away_is_one_sentence_without_its_password(home: Path) -> None:
    url = "postgresql://me:secret@127.0.0.1:9/x"

    refused = firstbox(home, "user", "list", FIRSTBOX_DATABASE_URL=url)

    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "secret" not in refused.stderr


def test_help_is_quick() -> None:
    loaded = "import sys, api.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", loaded], check=True, capture_output=True, text=True
    ).stdout.split()

    assert not {"sqlalchemy", "pydantic", "fastapi", "dbos", "joserfc"} & set(modules)


def good(home: Path, *arguments: str, stdin: str = "", **environment: str) -> str:
    ended = firstbox(home, *arguments, stdin=stdin, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def firstbox(
    home: Path, *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTBOX_")}
    return subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        env=clean | {"FIRSTBOX_HOME": str(home)} | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def log_in(home: Path, user_id: str, password: str) -> Role:
    with_password = seal(callers(home).public_jwks, password, time.time())
    return callers(home).identify(user_id, with_password, None, HERE).role


def token_role(home: Path, token: str) -> Role:
    return callers(home).identify(None, None, f"Bearer {token}", HERE).role


def callers(home: Path) -> Callers:
    settings = Settings(home=home)
    return Callers(settings, open_database(settings.database))
