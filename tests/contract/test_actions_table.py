"""Each action of the table has its models, its words, its path and its least role."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.actions import ACTIONS
from api.actions.envelope import ActionRequest, ActionResponse
from api.states import ROLE_ORDER, Role
from tests.contract.conftest import Api, Reply

WITHOUT_CREDENTIAL = "none"


@pytest.fixture
def openapi(refusing_api: Api) -> Reply:
    document: Reply = refusing_api.http.get("/openapi.json").json()
    return document


@pytest.mark.parametrize("name", ACTIONS)
def test_action_is_named_alike_on_every_level(name: str) -> None:
    action = ACTIONS[name]

    function = re.sub(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()
    assert action.name == name
    assert action.response.__name__ == f"{name}Response"
    assert action.handler.__name__ == function
    assert issubclass(action.request, ActionRequest)
    assert issubclass(action.response, ActionResponse)


@pytest.mark.parametrize("name", ACTIONS)
def test_action_says_what_it_does(name: str) -> None:
    action = ACTIONS[name]

    for thing in (action.request, action.response, action.handler):
        first = (thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__) or ""
        assert first.splitlines()[0].endswith("."), thing


@pytest.mark.parametrize("name", ACTIONS)
def test_action_has_a_path_with_both_models(name: str, openapi: Reply) -> None:
    post = openapi["paths"][f"/api/{name}"]["post"]

    request = post["requestBody"]["content"]["application/json"]["schema"]
    assert request["title"] == f"{name}Request"
    assert set(request["properties"]) == set(ACTIONS[name].request.model_fields)
    assert request["additionalProperties"] is False
    response = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert response == {"$ref": f"#/components/schemas/{name}Response"}
    assert post["operationId"] == name
    assert f"Least role: {ACTIONS[name].role}." in post["description"]


def test_every_reference_in_the_openapi_document_leads_somewhere(openapi: Reply) -> None:
    for reference in references(openapi):
        found: Any = openapi
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@pytest.mark.parametrize("name", ACTIONS)
def test_only_reading_is_for_viewers(name: str) -> None:
    own_password = name == "ModifyUserAttributes"
    least = Role.VIEWER if own_password or name.startswith(("Describe", "Get")) else Role.OPERATOR
    is_for_admins = name.endswith(("User", "Users", "Audit", "Webhook", "Webhooks"))

    assert ACTIONS[name].role == (Role.ADMIN if is_for_admins else least)


@pytest.mark.parametrize("caller", [WITHOUT_CREDENTIAL, *Role])
def test_who_may_do_what(caller: str, refusing_api: Api) -> None:
    for name, action in ACTIONS.items():
        if caller == WITHOUT_CREDENTIAL:
            refusing_api.refuse(1200, name, user=None, no_such_field=1)
        elif ROLE_ORDER[Role(caller)] < ROLE_ORDER[action.role]:
            words = (f"role {action.role}", f"{caller} has the role {caller}")
            refusing_api.refuse(1400, name, *words, user=caller, no_such_field=1)
        else:  # past the door: what is wrong now is the request
            refusal = refusing_api.refuse(1100, name, user=caller, no_such_field=1)
            assert "no_such_field" in [error["field"] for error in refusal["errors"]]


def test_a_token_that_is_none_proves_nothing(api: Api) -> None:
    api.tokens["forger"] = api.tokens["admin"][:-1] + "!"

    api.refuse(1200, "DescribeNodes", user="forger")


def references(value: Any) -> Iterator[str]:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from references(item)
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]
