import dataclasses
import time
from typing import Any

import pytest
from pydantic import ValidationError

from api.actions import user
from api.actions.envelope import ActionResponse, Answer, Context
from api.auth.callers import Caller
from api.auth.credentials import seal
from api.errors import Conflict, Malformed, NotAllowed, NotFound, NotProven, TooOld
from api.states import Role
from tests.users import ADMIN_PASSWORD, plant_user

NEW_PASSWORD = "a new long password"
HERE = "192.0.2.1"


def test_a_created_user_may_log_in(context: Context) -> None:
    answer = create(context, user_id="bob", role="operator", description="Bob, night shift")

    assert checked(user.CreateUserResponse, answer)["user_id"] == "bob"
    assert log_in(context, "bob", NEW_PASSWORD) == Caller("bob", Role.OPERATOR)


def test_a_new_user_is_a_viewer_unless_told_otherwise(context: Context) -> None:
    create(context, user_id="bob")

    assert log_in(context, "bob", NEW_PASSWORD).role == Role.VIEWER


def test_a_taken_id_is_a_conflict(context: Context) -> None:
    with pytest.raises(Conflict, match="admin"):
        create(context, user_id="admin")


def test_a_password_that_cannot_be_opened_is_a_fault_of_its_field(context: Context) -> None:
    with pytest.raises(Malformed) as caught:
        create(context, user_id="bob", password="in clear, by mistake")

    assert [error["field"] for error in caught.value.errors] == ["password"]
    assert "by mistake" not in caught.value.message


def test_a_password_sealed_long_ago_is_too_old(context: Context) -> None:
    old = seal(context.callers.public_jwks, NEW_PASSWORD, time.time() - 1000)

    with pytest.raises(TooOld):
        create(context, user_id="bob", password=old)


def test_a_short_password_makes_no_user(context: Context) -> None:
    with pytest.raises(Malformed, match="has 5 characters"):
        create(context, user_id="bob", password=sealed(context, "short"))

    assert shown(context) == ["admin"]


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": "a b"},
        {"user_id": "bob", "role": "root"},
        {"user_id": "bob", "description": "a\nb"},
        {"user_id": "bob", "nmae": "a typo"},
        {},
    ],
)
def test_malformed_users_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        user.CreateUserRequest(**{"password": "x"} | fields)


def test_users_are_described_without_their_hashes(context: Context) -> None:
    answer = describe(context)

    [view] = checked(user.DescribeUsersResponse, answer)["user_set"]
    assert view["user_id"] == "admin"
    assert "password_hash" not in answer["user_set"][0]


def test_filters_combine_and_unknown_ids_are_not_in_the_answer(context: Context) -> None:
    plant_user(context.engine, "bob", Role.VIEWER)
    plant_user(context.engine, "eve", Role.VIEWER)

    assert shown(context, user_ids=["bob", "admin", "nobody"]) == ["admin", "bob"]
    assert shown(context, user_ids=["bob", "admin"], role="viewer") == ["bob"]
    assert shown(context, user_ids=[]) == []
    assert shown(context, search_word="OB") == ["bob"]
    assert shown(context, search_word="%") == []


def test_pages_count_all_matches(context: Context) -> None:
    for name in ("bob", "eve", "zoe"):
        plant_user(context.engine, name, Role.VIEWER)

    answer = describe(context, limit=2, offset=1, reverse=True)

    assert [view["user_id"] for view in answer["user_set"]] == ["eve", "bob"]
    assert answer["total_count"] == 4


def test_an_admin_changes_a_role_at_once(context: Context) -> None:
    plant_user(context.engine, "bob", Role.VIEWER)
    log_in(context, "bob", ADMIN_PASSWORD)

    modify(context, user_id="bob", role="operator", description="promoted")

    assert log_in(context, "bob", ADMIN_PASSWORD).role == Role.OPERATOR


def test_a_changed_password_counts_at_once(context: Context) -> None:
    plant_user(context.engine, "bob", Role.VIEWER)
    credential = sealed(context, ADMIN_PASSWORD)
    context.callers.identify("bob", credential, None, HERE)

    modify(context, user_id="bob", password=sealed(context, NEW_PASSWORD))

    with pytest.raises(NotProven):
        context.callers.identify("bob", credential, None, HERE)
    assert log_in(context, "bob", NEW_PASSWORD)


def test_a_viewer_changes_the_own_password(context: Context) -> None:
    bob = as_user(context, "bob", Role.VIEWER)

    modify(bob, user_id="bob", password=sealed(context, NEW_PASSWORD))

    assert log_in(context, "bob", NEW_PASSWORD)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_others_than_admin_change_nobody_else(context: Context, role: Role) -> None:
    bob = as_user(context, "bob", role)

    with pytest.raises(NotAllowed, match=f"role admin; user bob has the role {role}"):
        modify(bob, user_id="admin", password=sealed(context, NEW_PASSWORD))
    assert log_in(context, "admin", ADMIN_PASSWORD)


@pytest.mark.parametrize("field", ["role", "description"])
def test_others_than_admin_change_only_the_password(context: Context, field: str) -> None:
    bob = as_user(context, "bob", Role.OPERATOR)

    with pytest.raises(NotAllowed, match="own password"):
        modify(bob, user_id="bob", password=sealed(context, NEW_PASSWORD), **{field: "admin"})


def test_a_change_says_what_to_change() -> None:
    with pytest.raises(ValidationError, match="nothing to change"):
        user.ModifyUserAttributesRequest(user_id="bob")


def test_an_unknown_user_is_not_found(context: Context) -> None:
    with pytest.raises(NotFound, match="nobody"):
        modify(context, user_id="nobody", role="viewer")


def test_deleted_users_are_out_at_once(context: Context) -> None:
    plant_user(context.engine, "bob", Role.VIEWER)
    credential = sealed(context, ADMIN_PASSWORD)
    context.callers.identify("bob", credential, None, HERE)

    answer = delete(context, "bob", "bob")

    assert checked(user.DeleteUsersResponse, answer)["user_ids"] == ["bob"]
    assert answer["total_count"] == 1
    with pytest.raises(NotProven):
        context.callers.identify("bob", credential, None, HERE)


def test_users_are_deleted_all_or_none(context: Context) -> None:
    plant_user(context.engine, "bob", Role.VIEWER)

    with pytest.raises(NotFound, match="nobody"):
        delete(context, "bob", "nobody")
    with pytest.raises(Conflict, match="own account"):
        delete(context, "bob", "admin")
    assert shown(context) == ["admin", "bob"]


def create(context: Context, **fields: Any) -> Answer:
    fields = {"password": sealed(context, NEW_PASSWORD)} | fields
    return user.create_user(context, user.CreateUserRequest(**fields))


def modify(context: Context, **fields: Any) -> Answer:
    return user.modify_user_attributes(context, user.ModifyUserAttributesRequest(**fields))


def delete(context: Context, *user_ids: str) -> Answer:
    return user.delete_users(context, user.DeleteUsersRequest(user_ids=list(user_ids)))


def describe(context: Context, **fields: Any) -> Answer:
    return user.describe_users(context, user.DescribeUsersRequest(**fields))


def shown(context: Context, **fields: Any) -> list[str]:
    return [view["user_id"] for view in describe(context, **fields)["user_set"]]


def sealed(context: Context, password: str) -> str:
    return seal(context.callers.public_jwks, password, time.time())


def log_in(context: Context, user_id: str, password: str) -> Caller:
    return context.callers.identify(user_id, sealed(context, password), None, HERE)


def as_user(context: Context, user_id: str, role: Role) -> Context:
    plant_user(context.engine, user_id, role)
    return dataclasses.replace(context, caller=Caller(user_id, role))


def checked(response: type[ActionResponse], answer: Answer) -> Answer:
    """The answer, after a look whether it has the shape it promises."""
    whole = {"action": response.__name__, "ret_code": 0} | answer
    assert set(answer) <= set(response.model_fields)
    return response.model_validate(whole).model_dump()
