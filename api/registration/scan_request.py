"""What callers say of a scan, over the API or in a file from the shell, and the plan it makes."""

import itertools
from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.bmc.target import PORTS
from api.errors import Malformed, OverLimit
from api.registration.addresses import is_allowed_range, one_machine
from api.registration.expected import read_expected
from api.registration.fields import BmcType, Credential, Name, Port
from api.registration.logins import REGISTERED
from api.registration.patterns import profile_faults
from api.registration.plan import Login, Plan, Range

Networks = Sequence[IPv4Network | IPv6Network]
OneAddress = Annotated[str, Field(max_length=45), AfterValidator(one_machine)]
_STRICT = ConfigDict(extra="forbid", strict=True)


class ScanCredential(BaseModel):
    """A login to try at BMCs; everything else speaks of it by its name."""

    model_config = _STRICT

    name: Name
    username: Credential
    password: Credential


class ScanRange(BaseModel):
    """Addresses of BMCs: `ip_start` to `ip_end`, both included, or a network."""

    model_config = _STRICT

    ip_start: OneAddress | None = None
    ip_end: OneAddress | None = None
    cidr: Annotated[str, Field(max_length=49)] | None = Field(
        None, description="Such as `10.0.1.0/24`, without its first and last address."
    )
    credentials: list[Name] | None = Field(
        None, min_length=1, description="Names, in the order tried; without it, all."
    )


class ScanOptions(BaseModel):
    """Where to look for BMCs, with which logins, and what becomes of their machines."""

    model_config = _STRICT

    ip_start: OneAddress | None = None
    ip_end: OneAddress | None = None
    ranges: list[ScanRange] | None = Field(
        None, min_length=1, max_length=256, description="Several ranges, in place of one."
    )
    credentials: list[ScanCredential] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="Logins to try, in this order; a BMC refuses a few only, then it is left alone.",
    )
    bmc_types: list[BmcType] | None = Field(
        None,
        min_length=1,
        description="What to look for; of a BMC with several, the first is used. "
        "Without it `redfish`, which tells more, then `ipmi`.",
    )
    ipmi_port: Port = Field(0, description="UDP port; 0 is 623.")
    redfish_port: Port = Field(0, description="TCP port; 0 is 443.")
    profile: dict[str, Any] | None = Field(
        None,
        description="What the machines become: fields of RegisterBMNodes. In texts `{n}`, or `{n:02}` "
        "with leading zeros, is a BMC's place in its range: `r01n{n:02}`, `10.0.1.{n}`.",
    )
    expected: str | None = Field(
        None,
        max_length=900_000,
        description="CSV of expected machines, with a header: `serial_number` or `mac`, and fields of "
        "RegisterBMNodes. It wins over the profile.",
    )
    zone_id: Name | None = Field(
        None,
        description="Whose workers look; and of new machines, unless the profile says another.",
    )

    def is_of_ranges(self) -> bool:
        """Whether anything about a scan of ranges is said."""
        return bool(self.model_dump(include=set(ScanOptions.model_fields), exclude_defaults=True))


def plan_of_request(
    asked: ScanOptions, allowed: Networks, *, most: int, dry_run: bool = False
) -> Plan:
    """The plan of a scan. Raises Malformed, and OverLimit for more than `most` addresses."""
    logins = _logins(asked.credentials or [])
    ranges = tuple(_ranges(asked, tuple(logins), allowed))
    if not ranges:
        raise Malformed.field("ip_start", "is missing: a scan needs a range, or node_ids")
    _refuse_too_many(ranges, most)
    _refuse_overlaps(ranges)
    if not logins:
        raise Malformed.field("credentials", "are missing: no BMC tells its machine without")
    kinds = tuple(dict.fromkeys(asked.bmc_types or ("redfish", "ipmi")))
    return Plan(
        ranges=ranges,
        kinds=kinds,
        ports={
            "ipmi": asked.ipmi_port or PORTS["ipmi"],
            "redfish": asked.redfish_port or PORTS["redfish"],
        },
        logins=logins,
        profile=_profile(asked.profile or {}, ranges),
        expected=tuple(read_expected(asked.expected)) if asked.expected else (),
        zone_id=asked.zone_id or "default",
        dry_run=dry_run,
    )


def addresses_of(ranges: Sequence[Range]) -> int:
    """How many addresses there are in ranges."""
    return sum(int(ip_address(one.end)) - int(ip_address(one.start)) + 1 for one in ranges)


def _profile(profile: dict[str, Any], ranges: Sequence[Range]) -> dict[str, Any]:
    faults = profile_faults(profile, ranges)
    if faults:
        errors = [{"field": f"profile.{field}", "message": message} for field, message in faults]
        raise Malformed(f"{errors[0]['field']}: {errors[0]['message']}", errors)
    return profile


def _logins(credentials: Sequence[ScanCredential]) -> dict[str, Login]:
    logins: dict[str, Login] = {}
    for place, one in enumerate(credentials):
        if one.name == REGISTERED:
            message = f"{REGISTERED} stands for the login a machine is registered with"
            raise Malformed.field(f"credentials.{place}.name", message)
        if one.name in logins:
            raise Malformed.field(f"credentials.{place}.name", f"is {one.name}, as one before")
        logins[one.name] = Login(one.name, one.username, one.password)
    return logins


def _ranges(asked: ScanOptions, names: tuple[str, ...], allowed: Networks) -> Iterator[Range]:
    if asked.ranges is not None and (asked.ip_start or asked.ip_end):
        raise Malformed.field("ranges", "and ip_start beside it: give one or the other")
    if asked.ranges is None:
        if asked.ip_start or asked.ip_end:
            yield Range(*_ends("", asked.ip_start, asked.ip_end, allowed), names)
        return
    for place, one in enumerate(asked.ranges):
        at = f"ranges.{place}."
        unknown = [name for name in one.credentials or () if name not in names]
        if unknown:
            raise Malformed.field(f"{at}credentials", f"there is no credential {unknown[0]}")
        if one.cidr is not None and (one.ip_start or one.ip_end):
            raise Malformed.field(f"{at}cidr", "and ip_start beside it: give one or the other")
        start, end = (
            (one.ip_start, one.ip_end)
            if one.cidr is None
            else _ends_of_network(f"{at}cidr", one.cidr)
        )
        own = tuple(dict.fromkeys(one.credentials or names))
        yield Range(*_ends(at, start, end, allowed), own)


def _ends_of_network(field: str, text: str) -> tuple[str, str]:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise Malformed.field(field, f"{text!r} is no network: {error}") from None
    first, last = network[0], network[-1]
    if network.version == 4 and network.prefixlen < 31:
        first, last = first + 1, last - 1
    try:
        return one_machine(str(first)), one_machine(str(last))
    except ValueError as error:
        raise Malformed.field(field, f"{text}: {first} {error}") from None


def _ends(at: str, start: str | None, end: str | None, allowed: Networks) -> tuple[str, str]:
    """Both ends of a range that we may talk to. Raises Malformed."""
    if start is None or end is None:
        missing = "ip_start" if start is None else "ip_end"
        raise Malformed.field(f"{at}{missing}", "is missing")
    first, last = ip_address(start), ip_address(end)
    if first.version != last.version:
        raise Malformed.field(f"{at}ip_end", f"{end} is not of the same family as {start}")
    if int(first) > int(last):
        raise Malformed.field(f"{at}ip_end", f"{end} comes before {start}")
    if not is_allowed_range(start, end, allowed):
        message = f"{start} to {end} is outside the networks this service may talk to"
        raise Malformed.field(f"{at}ip_start", message)
    return start, end


def _refuse_too_many(ranges: Sequence[Range], most: int) -> None:
    count = addresses_of(ranges)
    if count > most:
        raise OverLimit(f"{count} addresses in one scan; at most {most}.")


def _refuse_overlaps(ranges: Sequence[Range]) -> None:
    """An address in two ranges would have two places, and two lists of logins."""
    ends = [(ip_address(one.start), ip_address(one.end)) for one in ranges]
    ordered = sorted(ends, key=lambda one: (one[0].version, int(one[0])))
    for (_, before), (after, _) in itertools.pairwise(ordered):
        if before.version == after.version and int(after) <= int(before):
            raise Malformed.field("ranges", f"{after} is in two of them")
