"""Who asked for what is kept, and what came of it, and no secret with it."""

from typing import Any

import pytest
from pydantic import BaseModel

from api.actions import ACTIONS
from api.errors import Busy
from api.store.audit import add_audit
from tests.contract.conftest import Api, Reply
from tests.contract.requests import good_requests
from tests.machines import a_range, asked

SECRET = "a secret of the BMC"


def entries(api: Api, **conditions: Any) -> list[Reply]:
    """The audit, the newest first."""
    found: list[Reply] = api.call("DescribeAudit", **conditions)["audit_set"]
    return found


@pytest.mark.parametrize("name", [name for name in ACTIONS if "Describe" not in name])
def test_what_changes_something_is_written_down_and_what_only_looks_is_not(
    name: str, api: Api, node_id: str, failed_job: str
) -> None:
    body = good_requests(api, node_id, failed_job)[name]()
    before = len(entries(api))

    assert api.call(name, **body)["ret_code"] == 0

    new = entries(api)[: len(entries(api)) - before]
    only_looks = name.startswith("Get") and name != "GetBMNodesPower"
    assert [entry["action"] for entry in new] == ([] if only_looks else [name])
    assert [entry["ret_code"] for entry in new] == ([] if only_looks else [0])


def test_entry_says_who_asked_what_from_where_and_what_came_of_it(api: Api) -> None:
    body = {"action": "AddNodes", "ip_start": "10.0.0.1", "ip_end": "10.0.0.2"}
    response = api.send(body, user="operator")

    answer = api.answer(response)
    (entry,) = entries(api, request_id=response.headers["X-Request-Id"])
    assert entry["action"] == "AddNodes"
    assert entry["user_id"] == "operator"
    assert entry["address"] == "testclient"
    assert entry["text"] == '{"ip_start": "10.0.0.1", "ip_end": "10.0.0.2"}'
    assert answer["job_id"] in entry["answer"]
    assert all(node_id in entry["answer"] for node_id in answer["node_ids"])


def test_refusal_is_an_end_too(api: Api) -> None:
    api.refuse(2100, "DeleteNodes", node_ids=["n-00000000"])
    api.refuse(1400, "DeleteUsers", user="operator", user_ids=["viewer"])
    api.refuse(1100, "DeleteNodes", node_ids=[])  # nobody could tell what was asked

    first, second = entries(api)

    assert (first["action"], first["ret_code"], first["user_id"]) == (
        "DeleteUsers",
        1400,
        "operator",
    )
    assert (second["action"], second["ret_code"]) == ("DeleteNodes", 2100)
    assert "n-00000000" in second["text"]
    assert "n-00000000" in second["answer"]


def test_login_that_is_refused_is_found_by_its_request(api: Api) -> None:
    body = {"action": "DescribeNodes", "USER_ID": "viewer", "PASSWORD": api.password("another one")}
    response = api.send(body, user=None)

    [entry] = entries(api, request_id=response.headers["X-Request-Id"])

    assert (entry["action"], entry["ret_code"], entry["user_id"]) == ("Login", 1200, "viewer")


def test_what_ends_in_a_fault_of_ours_has_an_end(
    api: Api, node_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("api.actions.node.nodes.delete", broken)

    api.refuse(5000, "DeleteNodes", node_ids=[node_id])

    assert entries(api)[0]["ret_code"] == 5000


def test_end_that_cannot_be_written_is_missing_and_told_in_the_log(
    api: Api, node_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, answers: int | None = None, **__: Any) -> int:
        if answers is not None:
            raise Busy
        return add_audit(*_, **__)

    monkeypatch.setattr("api.domain.audit.add_audit", away)

    assert api.call("DeleteNodes", node_ids=[node_id])["ret_code"] == 0

    assert entries(api)[0]["ret_code"] is None
    assert "lacks the end of its row 1, DeleteNodes: ret_code 0" in caplog.text


def test_what_cannot_be_written_down_is_not_done(
    api: Api, node_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> int:
        raise Busy

    monkeypatch.setattr("api.domain.audit.add_audit", away)

    api.refuse(5100, "DeleteNodes", node_ids=[node_id])


def test_admin_who_looks_at_passwords_is_written_down(api: Api) -> None:
    api.call("DescribeBMNodes", fields=["status"])
    api.call("DescribeBMNodes", user="operator")
    assert entries(api) == []

    api.call("DescribeBMNodes", limit=1)

    assert [entry["action"] for entry in entries(api)] == ["DescribeBMNodes"]


def test_secrets_are_left_out(api: Api) -> None:
    api.call("RegisterBMNodes", **(asked() | {"ipmi_password": SECRET}))
    scan = a_range()
    scan["credentials"] = [{"name": "x", "username": "u", "password": SECRET}]
    api.call("ScanBMNodes", **scan)
    sealed = api.password("a new long password")
    api.call("CreateUser", user_id="bob", password=sealed, USER_ID="admin", PASSWORD=api.password())

    found = entries(api)

    assert [entry["ret_code"] for entry in found] == [0, 0, 0]
    assert SECRET not in str(found)
    assert sealed not in str(found)
    assert "PASSWORD" not in str(found)
    assert all('password": "******"' in entry["text"] for entry in found)


def test_every_secret_a_request_may_hold_is_told_by_its_name() -> None:
    named = {name for action in ACTIONS.values() for name in fields(action.request)}

    suspicious = {name for name in named if any(word in name.lower() for word in ("pass", "secr"))}

    assert suspicious == {"PASSWORD", "password", "ipmi_password"}
    assert not {name for name in named if "token" in name or "key" in name} - {
        "sort_key",
        "forget_host_key",
    }


def fields(model: type[BaseModel]) -> set[str]:
    """The names of a model's fields, and of those of the models in it."""
    schema = model.model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    return {name for one in models for name in one.get("properties", {})}


def test_time_that_is_none_is_refused(refusing_api: Api) -> None:
    refusing_api.refuse(1100, "DescribeAudit", "since", since="yesterday")
    refusing_api.refuse(1100, "DescribeAudit", "until", until="2026-13-01 00:00:00")


def test_audit_is_found_by_time(api: Api, node_id: str) -> None:
    api.call("ModifyNodeAttributes", node_id=node_id, role="storage")

    assert len(entries(api, since="2020-01-01 00:00:00", until="2100-01-01 00:00:00")) == 1
    assert entries(api, until="2020-01-01 00:00:00") == []
    assert entries(api, since="2100-01-01 00:00:00") == []
