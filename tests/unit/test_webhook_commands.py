"""Webhooks and the audit from a shell."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import app
from api.errors import Conflict, FirstboxError, NotFound
from api.settings import Settings
from tests.receiver import receiving

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `firstbox` in this process; what it refuses is raised."""
    monkeypatch.setenv("FIRSTBOX_HOME", str(settings.home))
    monkeypatch.setenv("SUDO_USER", "alice")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)

    return run


def test_webhook_is_added_tried_listed_and_deleted(run: Run) -> None:
    with receiving() as receiver:
        added = run("webhook", "add", receiver.url, "--event", "job_ended")
        webhook_id = added.stderr.split()[1]

        assert added.stdout.startswith("whsec_")
        assert "took the event m-" in run("webhook", "test", webhook_id).stdout
        receiver.answer = lambda _: 500
        with pytest.raises(FirstboxError, match=r"does not take the event .*: HTTP 500"):
            run("webhook", "test", webhook_id)
    assert [one.event["event"] for one in receiver.received] == ["test", "test"]
    assert receiver.url in run("webhook", "list").stdout
    run("webhook", "delete", webhook_id)
    with pytest.raises(NotFound):
        run("webhook", "test", webhook_id)


def test_event_that_does_not_exist_is_refused(run: Run) -> None:
    with pytest.raises(FirstboxError, match="job_ended, node_status, bm_node_status"):
        run("webhook", "add", "http://h/", "--event", "rain")


def test_what_is_done_in_a_shell_stands_in_the_audit(run: Run) -> None:
    run("user", "add", "bob")
    token = run("token", "create", "--user", "bob").stdout.strip()
    with pytest.raises(Conflict):
        run("user", "add", "bob")

    lines = run("audit", "--json").stdout.splitlines()
    entries = [json.loads(line) for line in lines]

    done = [(one["action"], one["ret_code"]) for one in entries]
    assert done == [("CreateUser", 0), ("CreateToken", 0), ("CreateUser", 2200)]
    assert {(one["user_id"], one["address"]) for one in entries} == {("alice", "shell")}
    assert entries[1]["answer"].startswith("t-")
    assert token not in str(entries)
    assert "The last 1 of 2." in run("audit", "--action", "CreateUser", "--limit", "1").stderr


def test_rotation_of_the_sealing_key_stands_there_too(run: Run) -> None:
    run("webhook", "add", "http://192.0.2.1/")
    run("key", "rotate")

    entry = json.loads(run("audit", "--json").stdout.splitlines()[-1])

    assert (entry["action"], entry["ret_code"]) == ("RotateSealingKey", 0)
    assert entry["answer"] == "1 secrets were sealed anew"


def test_secret_and_password_of_a_shell_do_not_stand_there(run: Run) -> None:
    secret = run("webhook", "add", "https://192.0.2.1/hook?key=x").stdout.strip()
    password = run("user", "add", "bob").stdout.split()[-1]

    shown = run("audit", "--json").stdout

    assert "https://192.0.2.1/..." in shown
    assert not any(one in shown for one in (secret, password, "key=x"))


def test_time_that_is_none_is_refused(run: Run) -> None:
    with pytest.raises(FirstboxError, match="yesterday is not like"):
        run("audit", "--since", "yesterday")
