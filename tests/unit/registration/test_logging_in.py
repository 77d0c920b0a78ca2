"""Logins tried in turn on many BMCs: over which way, how often, and what is said at the end."""

from collections.abc import Mapping, Sequence

import pytest

from api.bmc.crew import CrewLost
from api.bmc.target import BmcResult, BmcTarget, Kind
from api.registration.logging_in import Candidate, Verdict, let_in
from api.registration.plan import Login
from api.states import Reason

RIGHT = "right"


class FakeLimits:
    """Allows so many refusals at each address, and knows what was refused."""

    def __init__(self, most: int = 3, refused: Sequence[str] = ()) -> None:
        self.most = most
        self.refused = set(refused)  # passwords
        self.counts: dict[str, int] = {}

    def claim(self, attempts: Sequence[BmcTarget]) -> list[Verdict]:
        return [self._claim(attempt) for attempt in attempts]

    def release(self, attempts: Mapping[BmcTarget, bool]) -> None:
        for attempt in attempts:
            self.counts[attempt.node] -= 1

    def _claim(self, attempt: BmcTarget) -> Verdict:
        if attempt.password in self.refused:
            return "refused"
        if self.counts.get(attempt.node, 0) >= self.most:
            return "spent"
        self.counts[attempt.node] = self.counts.get(attempt.node, 0) + 1
        return "may"


class FakeBmcs:
    """Let in who has the right password; a way may have a trouble of its own."""

    def __init__(self, **troubles: Reason) -> None:
        self.troubles = troubles  # by kind
        self.asked: list[str] = []

    def ask(self, targets: Sequence[BmcTarget]) -> list[BmcResult]:
        return [self._ask(target) for target in targets]

    def _ask(self, target: BmcTarget) -> BmcResult:
        self.asked.append(f"{target.node} {target.kind} {target.password}")
        if trouble := self.troubles.get(target.kind):
            return BmcResult(target.node, False, f"has a trouble: {trouble}", trouble)
        if target.password == RIGHT:
            return BmcResult(target.node, True, "is a machine")
        return BmcResult(target.node, False, "refused the login", Reason.BMC_LOGIN_REFUSED)


def candidate(*passwords: str, node: str = "one", kinds: Sequence[Kind] = ("ipmi",)) -> Candidate:
    ways = [BmcTarget(node, "10.0.0.1", 1, kind, "", "") for kind in kinds]
    return Candidate(ways, [Login(f"c-{password}", "ADMIN", password) for password in passwords])


def test_each_is_asked_until_it_lets_us_in() -> None:
    bmcs, limits = FakeBmcs(), FakeLimits()

    outcomes = let_in([candidate("a", RIGHT, "b"), candidate(RIGHT, node="two")], limits, bmcs.ask)

    assert bmcs.asked == ["one ipmi a", "two ipmi right", "one ipmi right"]
    assert {node: outcome.credential for node, outcome in outcomes.items()} == {
        "one": "c-right",
        "two": "c-right",
    }
    assert limits.counts == {"one": 1, "two": 0}


@pytest.mark.parametrize(
    ("passwords", "said"),
    [
        ("a", "refused the only credential (c-a)"),
        ("ab", "refused both credentials (c-a, c-b)"),
        ("abc", "refused all 3 credentials (c-a, c-b, c-c)"),
    ],
)
def test_bmc_that_refuses_all_is_said_to(passwords: str, said: str) -> None:
    result = let_in([candidate(*passwords)], FakeLimits(), FakeBmcs().ask)["one"].result

    assert (result.reason, result.message) == (Reason.BMC_LOGIN_REFUSED, said)


def test_what_would_lock_us_out_is_not_tried() -> None:
    bmcs = FakeBmcs()

    result = let_in([candidate("a", "b", "c", RIGHT)], FakeLimits(most=2), bmcs.ask)["one"].result

    assert len(bmcs.asked) == 2
    assert result.reason == Reason.BMC_LOGINS_SPENT
    assert result.message == (
        "refused too many logins (c-a, c-b) lately: c-c, c-right is not tried, which may lock us out"
    )


def test_login_that_was_refused_lately_is_passed_over() -> None:
    bmcs = FakeBmcs()

    outcome = let_in([candidate("a", RIGHT)], FakeLimits(refused=["a"]), bmcs.ask)["one"]

    assert (bmcs.asked, outcome.result.ok) == (["one ipmi right"], True)


def test_bmc_is_not_asked_when_all_were_refused_lately() -> None:
    bmcs = FakeBmcs()

    outcome = let_in([candidate("a", "b")], FakeLimits(refused=["a", "b"]), bmcs.ask)["one"]

    assert bmcs.asked == []
    assert (outcome.result.reason, outcome.result.message) == (
        Reason.BMC_LOGINS_SPENT,
        "refused c-a, c-b lately, and is not asked again so soon",
    )


def test_other_way_is_for_other_troubles() -> None:
    bmcs, limits = FakeBmcs(redfish=Reason.BMC_REFUSED), FakeLimits()

    outcome = let_in([candidate(RIGHT, kinds=("redfish", "ipmi"))], limits, bmcs.ask)["one"]

    assert bmcs.asked == ["one redfish right", "one ipmi right"]
    assert (outcome.target.kind, outcome.result.ok, limits.counts) == ("ipmi", True, {"one": 0})


def test_other_way_is_not_for_refused_logins() -> None:
    bmcs = FakeBmcs()

    let_in([candidate("a", "b", kinds=("redfish", "ipmi"))], FakeLimits(), bmcs.ask)

    assert bmcs.asked == ["one redfish a", "one redfish b"]


LONG = "twenty-one characters"


def test_login_that_ipmi_has_no_room_for_is_tried_over_redfish_only() -> None:
    both, one = FakeBmcs(), FakeBmcs()

    let_in([candidate(LONG, "a", kinds=("ipmi", "redfish"))], FakeLimits(), both.ask)
    outcome = let_in([candidate(LONG, kinds=("ipmi",))], FakeLimits(), one.ask)["one"]

    assert both.asked == [f"one redfish {LONG}", "one ipmi a"]
    assert one.asked == []
    assert outcome.result.message == f"has no room for c-{LONG}"


def test_trouble_is_told_when_the_other_way_has_no_room() -> None:
    bmcs = FakeBmcs(redfish=Reason.BMC_BUSY)

    outcome = let_in([candidate(LONG, kinds=("redfish", "ipmi"))], FakeLimits(), bmcs.ask)["one"]

    assert (len(bmcs.asked), outcome.result.reason) == (1, Reason.BMC_BUSY)


def test_last_trouble_is_told_when_no_way_is_left() -> None:
    bmcs = FakeBmcs(redfish=Reason.BMC_REFUSED, ipmi=Reason.BMC_SILENT)

    outcome = let_in([candidate("a", kinds=("redfish", "ipmi"))], FakeLimits(), bmcs.ask)["one"]

    assert outcome.result.reason == Reason.BMC_SILENT


def test_nothing_counts_when_nobody_could_be_asked() -> None:
    limits = FakeLimits()

    def lost(_targets: Sequence[BmcTarget]) -> list[BmcResult]:
        raise CrewLost("no processes")

    with pytest.raises(CrewLost):
        let_in([candidate("a")], limits, lost)
    assert limits.counts == {"one": 0}


def test_who_shows_another_certificate_is_asked_nothing_more() -> None:
    bmcs = FakeBmcs(redfish=Reason.BMC_CERTIFICATE_CHANGED)

    outcomes = let_in([candidate(RIGHT, "b", kinds=("redfish", "ipmi"))], FakeLimits(), bmcs.ask)

    assert outcomes["one"].result.reason == Reason.BMC_CERTIFICATE_CHANGED
    assert bmcs.asked == ["one redfish right"]
