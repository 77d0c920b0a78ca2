"""Which of several logins a BMC takes: tried in order, round by round on many BMCs, and never so often
that one of them locks us out.

A BMC that speaks both protocols is asked over the first, and over the other only when that did not
work for another reason than the login: its accounts are the same, and so is its patience.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from api.bmc.crew import CrewLost
from api.bmc.target import BmcResult, BmcTarget, Kind
from api.registration.plan import Login
from api.states import Reason

Verdict = Literal["may", "refused", "spent"]
"""Whether a login may be tried: it may; it was refused lately; others were, too many of them."""
_ROOM: dict[Kind, tuple[int, int]] = {"ipmi": (16, 20), "redfish": (1000, 1000)}  # bytes
Ask = Callable[[Sequence[BmcTarget]], Sequence[BmcResult]]


class Limits(Protocol):
    """Who knows what was refused before."""

    def claim(self, attempts: Sequence[BmcTarget]) -> Sequence[Verdict]:
        """Count these as refused, as far as they may be tried."""

    def release(self, attempts: Mapping[BmcTarget, bool]) -> None:
        """They were not; True means that the BMC let us in."""


@dataclass(slots=True)
class Candidate:
    """A BMC with the ways to talk to it and the logins to try, both in order."""

    ways: list[BmcTarget]  # without user and password
    logins: list[Login]
    refused: list[str] = field(default_factory=list)  # names of logins, now or lately
    refused_now: int = 0
    unfit: list[str] = field(default_factory=list)  # names of logins that no way has room for
    trouble: BmcResult | None = None  # with a way that is not tried any more

    @property
    def attempt(self) -> BmcTarget:
        """The next one to make."""
        login = self.logins[0]
        way = next(way for way in self.ways if _has_room(way, login))
        return replace(way, username=login.username, password=login.password)

    def drop_unfit(self) -> None:
        """Pass over logins that are too long for every way."""
        while self.logins and not any(_has_room(way, self.logins[0]) for way in self.ways):
            self.unfit.append(self.logins.pop(0).name)

    def drop_way(self, kind: Kind, trouble: BmcResult) -> None:
        """Do not try this one any more."""
        self.ways = [way for way in self.ways if way.kind != kind]
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one candidate: the way and the login's name are those that were tried last."""

    target: BmcTarget
    credential: str
    result: BmcResult


def let_in(candidates: Sequence[Candidate], limits: Limits, ask: Ask) -> dict[str, Outcome]:
    """Try until each has let us in or no login is left; by the node of their targets."""
    outcomes: dict[str, Outcome] = {}
    left = list(candidates)
    while left:
        ready = _claim(left, limits, outcomes)
        results = _ask([candidate.attempt for candidate in ready], limits, ask)
        left = []
        for candidate, result in zip(ready, results, strict=True):
            outcome = _take(candidate, result)
            if outcome is None:
                left.append(candidate)
            else:
                outcomes[result.node] = outcome
    return outcomes


def _claim(
    candidates: Sequence[Candidate], limits: Limits, outcomes: dict[str, Outcome]
) -> list[Candidate]:
    """Those that may be asked now, logins that were refused lately passed over."""
    ready: list[Candidate] = []
    left: list[Candidate] = []
    for candidate in candidates:
        candidate.drop_unfit()
        if candidate.logins:
            left.append(candidate)
        else:
            outcomes[candidate.ways[0].node] = _given_up(candidate)
    while left:
        verdicts = limits.claim([candidate.attempt for candidate in left])
        passed: list[Candidate] = []
        for candidate, verdict in zip(left, verdicts, strict=True):
            if verdict == "may":
                ready.append(candidate)
                continue
            if verdict == "refused":
                candidate.refused.append(candidate.logins.pop(0).name)
                candidate.drop_unfit()
            if verdict == "spent" or not candidate.logins:
                outcomes[candidate.ways[0].node] = _given_up(candidate)
            else:
                passed.append(candidate)
        left = passed
    return ready


def _ask(attempts: list[BmcTarget], limits: Limits, ask: Ask) -> Sequence[BmcResult]:
    try:
        results = ask(attempts)
    except CrewLost:  # nobody was asked, as far as we know: a next run may
        limits.release(dict.fromkeys(attempts, False))
        raise
    limits.release(
        {
            attempt: result.ok
            for attempt, result in zip(attempts, results, strict=True)
            if result.reason != Reason.BMC_LOGIN_REFUSED
        }
    )
    return results


def _take(candidate: Candidate, result: BmcResult) -> Outcome | None:
    """The end of it; None while there is something left to try."""
    if result.ok:
        return Outcome(candidate.attempt, candidate.logins[0].name, result)
    attempt = candidate.attempt
    if result.reason == Reason.BMC_CERTIFICATE_CHANGED:  # who knows who that is
        return Outcome(attempt, "", result)
    if result.reason != Reason.BMC_LOGIN_REFUSED:
        candidate.drop_way(attempt.kind, result)
        return None if candidate.ways else Outcome(attempt, "", result)
    candidate.refused.append(candidate.logins.pop(0).name)
    candidate.refused_now += 1
    candidate.drop_unfit()
    return None if candidate.logins else _given_up(candidate)


def _given_up(candidate: Candidate) -> Outcome:
    way, names = candidate.ways[0], ", ".join(candidate.refused)
    untried = ", ".join(login.name for login in candidate.logins)
    if candidate.trouble and not candidate.refused:
        return Outcome(way, "", candidate.trouble)
    reason = Reason.BMC_LOGINS_SPENT
    if untried:
        refused = f"refused too many logins{f' ({names})' if names else ''}"
        message = f"{refused} lately: {untried} is not tried, which may lock us out"
    elif not candidate.refused:
        reason = Reason.BMC_LOGIN_REFUSED
        message = f"has no room for {', '.join(candidate.unfit)}"
    elif not candidate.refused_now:
        message = f"refused {names} lately, and is not asked again so soon"
    else:
        reason = Reason.BMC_LOGIN_REFUSED
        message = f"refused {_all_of(candidate.refused)}"
        if candidate.unfit:
            message += f" and has no room for {', '.join(candidate.unfit)}"
    return Outcome(way, "", BmcResult(way.node, False, message, reason.value))


def _has_room(way: BmcTarget, login: Login) -> bool:
    user, password = _ROOM[way.kind]
    return len(login.username.encode()) <= user and len(login.password.encode()) <= password


def _all_of(names: Sequence[str]) -> str:
    counts = {1: "the only credential", 2: "both credentials"}
    return f"{counts.get(len(names), f'all {len(names)} credentials')} ({', '.join(names)})"
