import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and nothing else in the environment."""
    for name in [name for name in os.environ if name.startswith("FIRSTBOX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FIRSTBOX_HOME", str(tmp_path))
    return tmp_path


def test_defaults_are_safe_to_start_with(home: Path) -> None:
    settings = load_settings()

    assert settings.host == "127.0.0.1"
    assert settings.database == f"sqlite:///{home}/firstbox.db"
    assert settings.keys == home / "keys"
    assert settings.ssh_known_hosts == "accept-new"
    assert (settings.content / "playbooks" / "collect.yml").is_file()


def test_environment_sets_and_wins_over_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "firstbox.env").write_text("FIRSTBOX_PORT=8100\nFIRSTBOX_SSH_USER=admin\nOTHER=1\n")
    monkeypatch.setenv("FIRSTBOX_PORT", "8200")

    settings = load_settings()

    assert (settings.port, settings.ssh_user) == (8200, "admin")


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTBOX_HOME", "somewhere")
    assert load_settings().home == Path.cwd() / "somewhere"

    monkeypatch.setenv("FIRSTBOX_HOME", "~/boxes")
    assert load_settings().home == Path.home() / "boxes"


def test_the_env_file_of_a_home_with_a_tilde_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "firstbox.env").write_text("FIRSTBOX_PORT=8100\n")
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("FIRSTBOX_HOME", f"~/{home.name}")

    assert load_settings().port == 8100


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("sqlite:////srv/box.db", "sqlite:////srv/box.db"),
        ("postgresql://box@db/box", "postgresql+psycopg://box@db/box"),
        ("postgresql+psycopg://box@db/box", "postgresql+psycopg://box@db/box"),
    ],
)
def test_database_is_sqlite_or_postgresql(
    url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTBOX_DATABASE_URL", url)

    assert load_settings().database == database


def test_a_zone_overrides_only_what_it_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTBOX_SSH_PORT", "2222")
    monkeypatch.setenv("FIRSTBOX_SSH_JUMP", "hop@jump:22")
    zones = {"z2": {"user": "ubuntu", "jump": "", "known_hosts": "strict"}}
    monkeypatch.setenv("FIRSTBOX_ZONES", json.dumps(zones))
    settings = load_settings()

    own, other = settings.ssh_access("z2"), settings.ssh_access("z3")

    assert (own.user, own.port, own.jump, own.known_hosts) == ("ubuntu", 2222, "", "strict")
    assert (other.user, other.port, other.jump, other.known_hosts) == (
        "root",
        2222,
        "hop@jump:22",
        "accept-new",
    )
    assert own.private_key == other.private_key == home / "keys" / "ssh_ed25519"


def test_allowed_networks_are_a_list_of_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTBOX_ALLOWED_NETWORKS", '["10.0.0.0/8", "fd00::/8"]')

    assert [str(network) for network in load_settings().allowed_networks] == [
        "10.0.0.0/8",
        "fd00::/8",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://box@db/box"),
        ("DATABASE_URL", "firstbox.db"),
        ("DATABASE_URL", "sqlite://"),
        ("PORT", "0"),
        ("PORT", "http"),
        ("MAX_BODY", "10"),
        ("MAX_NODES_PER_CALL", "0"),
        ("CREDENTIAL_MAX_AGE", "86400"),
        ("ALLOWED_NETWORKS", '["10.0.0.1/8"]'),
        ("WORKER_CONCURRENCY", "0"),
        ("QUEUE_POLL", "0"),
        ("SSH_KNOWN_HOSTS", "no"),
        ("ZONES", '{"z2": {"prot": 2222}}'),
        ("ZONES", '{"z2": {"port": 70000}}'),
        ("PROBE_DEADLINE", "-1"),
    ],
)
def test_unsafe_value_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FIRSTBOX_{name}", value)

    with pytest.raises(ValidationError, match=name.lower()):
        load_settings()


@pytest.mark.parametrize("value", ["10.0.0.0/8", "[", '{"a": 1}'])
def test_networks_that_are_no_json_list_are_refused(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTBOX_ALLOWED_NETWORKS", value)

    with pytest.raises(ValueError, match="allowed_networks"):
        load_settings()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_for(name: str) -> None:
    assert (Settings.model_fields[name].description or "").endswith(".")
