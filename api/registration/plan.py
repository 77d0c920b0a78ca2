"""What one scan is to do, as its three steps need it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.bmc.target import PORTS, Kind


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password to try, known to everybody by its name."""

    name: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses, both ends included, and the names of the logins to try there, in order."""

    start: str
    end: str
    logins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A scan of ranges. Of registered machines a scan needs no plan: all is in their registration."""

    ranges: tuple[Range, ...] = ()
    kinds: tuple[Kind, ...] = ("redfish", "ipmi")  # in order of preference
    ports: Mapping[Kind, int] = field(default_factory=lambda: dict(PORTS))
    logins: Mapping[str, Login] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)  # fields, with patterns
    expected: tuple[Mapping[str, Any], ...] = ()  # machines, see api/registration/expected.py
    zone_id: str = "default"
    dry_run: bool = False

    def as_options(self, seal: Callable[[str], str]) -> dict[str, Any]:
        """As a job's options keep it; passwords sealed."""
        return {
            "ranges": [
                {"start": one.start, "end": one.end, "logins": list(one.logins)}
                for one in self.ranges
            ],
            "kinds": list(self.kinds),
            "ports": dict(self.ports),
            "logins": [
                {"name": one.name, "username": one.username, "password": seal(one.password)}
                for one in self.logins.values()
            ],
            "profile": dict(self.profile),
            "expected": [dict(one) for one in self.expected],
            "zone_id": self.zone_id,
            "dry_run": int(self.dry_run),
        }


def plan_of_options(options: Mapping[str, Any], unseal: Callable[[str], str]) -> Plan:
    """The plan in a job's options; an empty one where there is none."""
    if "ranges" not in options:
        return Plan(dry_run=bool(options.get("dry_run")))
    logins = [
        Login(one["name"], one["username"], unseal(one["password"])) for one in options["logins"]
    ]
    return Plan(
        ranges=tuple(
            Range(one["start"], one["end"], tuple(one["logins"])) for one in options["ranges"]
        ),
        kinds=tuple(options["kinds"]),
        ports=options["ports"],
        logins={login.name: login for login in logins},
        profile=options["profile"],
        expected=tuple(options["expected"]),
        zone_id=options["zone_id"],
        dry_run=bool(options["dry_run"]),
    )
