"""Which logins are tried at an address."""

from api.registration.logins import logins_for
from api.registration.plan import Login, Plan, Range

A, B, C = (Login(name, "ADMIN", f"secret-{name}") for name in "abc")
OWN = Login("registered", "ADMIN", "secret-own")
PLAN = Plan(
    ranges=(
        Range("10.0.0.1", "10.0.0.9", ("b", "a")),
        Range("10.0.0.9", "10.0.0.20", ("c", "a")),
        Range("fd00::1", "fd00::ff", ("c",)),
    ),
    logins={login.name: login for login in (A, B, C)},
)


def test_those_of_its_range_in_their_order() -> None:
    assert logins_for(PLAN, "10.0.0.1", None) == [B, A]
    assert logins_for(PLAN, "10.0.0.9", None) == [B, A, C]
    assert logins_for(PLAN, "fd00::a", None) == [C]
    assert logins_for(PLAN, "10.0.0.21", None) == []


def test_registered_one_comes_first() -> None:
    assert logins_for(PLAN, "10.0.0.1", OWN) == [OWN, B, A]


def test_same_user_and_password_come_once() -> None:
    same = Login("registered", A.username, A.password)

    assert logins_for(PLAN, "10.0.0.1", same) == [same, B]
