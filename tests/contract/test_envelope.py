"""Every answer has one shape: the action's own when it is done, one for all refusals."""

from typing import Any

import pytest

from api.actions import ACTIONS
from tests.contract.conftest import Api
from tests.contract.requests import good_requests

ANY_NAME = ("/api", "/api/{name}")


@pytest.mark.parametrize("path", ANY_NAME)
@pytest.mark.parametrize("name", ACTIONS)
def test_answer_is_of_its_response_model(
    name: str, path: str, api: Api, node_id: str, failed_job: str
) -> None:
    body = good_requests(api, node_id, failed_job)[name]()

    response = api.send({"action": name, **body}, path=path.format(name=name))

    answer = api.answer(response)
    assert answer["ret_code"] == 0, answer
    assert answer["action"] == f"{name}Response"
    model = ACTIONS[name].response
    model.model_validate(answer, strict=True, extra="forbid")
    assert set(answer) == set(model.model_fields) - {"message", "errors"}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_actions_own_address_needs_no_name_in_the_body(
    name: str, api: Api, node_id: str, failed_job: str
) -> None:
    body = good_requests(api, node_id, failed_job)[name]()

    assert api.answer(api.send(body, path=f"/api/{name}"))["ret_code"] == 0


@pytest.mark.parametrize("name", ACTIONS)
def test_refusal_is_the_same_at_both_addresses(name: str, refusing_api: Api) -> None:
    body = {"action": name, "no_such_field": 1}

    replies = [refusing_api.send(body, path=path.format(name=name)) for path in ANY_NAME]

    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].json() == replies[1].json()
    refusal = refusing_api.answer(replies[0])
    assert refusal["ret_code"] == 1100
    fault = {"field": "no_such_field", "message": "this action has no such parameter"}
    assert fault in refusal["errors"]


@pytest.mark.parametrize(
    ("name", "own"), [("DescribeNodes", "Node"), ("DescribeUsers", "User"), ("GetStatus", "BMNode")]
)
def test_request_type_is_checked_where_it_is_given(name: str, own: str, refusing_api: Api) -> None:
    other = "Node" if own == "User" else "User"

    refusing_api.refuse(1100, name, "request_type", repr(other), request_type=other)
    refusal = refusing_api.call(name, request_type=own, no_such_field=1)
    assert "request_type" not in [error["field"] for error in refusal["errors"]]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/api/Nothing", 404), ("GET", "/nothing", 404), ("GET", "/api", 405)],
)
def test_what_is_not_served_has_the_envelope_too(
    method: str, path: str, status: int, refusing_api: Api
) -> None:
    response = refusing_api.http.request(method, path)

    assert response.status_code == status
    assert "POST to /api" in refusing_api.answer(response)["message"]


def test_a_fault_of_ours_is_not_the_callers(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr("api.actions.node.find_nodes", broken)

    answer = api.refuse(5000, "DescribeNodes")

    assert "ZeroDivision" not in answer["message"]
    assert "secret" not in answer["message"]
    number = answer["message"].split()[-1].rstrip(".")
    assert f"fault {number} in DescribeNodes" in caplog.text


def test_a_database_that_is_away_is_busy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.call("DescribeNodes")  # so that the token is known
    database = api.settings.home / "firstbox.db"
    with api.http:
        pass  # the connections of the first start are closed
    for file in api.settings.home.glob("firstbox.db*"):
        file.unlink()
    database.mkdir()

    with api.http as http:
        assert http.get("/readyz").status_code == 503
        assert http.get("/healthz").status_code == 200
        assert api.call("DescribeNodes")["ret_code"] == 5100
