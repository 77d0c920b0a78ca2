"""Which logins a scan tries at an address, and in which order."""

from ipaddress import ip_address

from api.registration.plan import Login, Plan, Range

REGISTERED = "registered"  # the name of the login a machine is registered with


def logins_for(plan: Plan, address: str, registered: Login | None) -> list[Login]:
    """The one of the machine that is registered there, then those of the ranges that hold it.

    The same user and password come once: a BMC that refused them refuses them again.
    """
    names = (name for one in plan.ranges if _is_in(address, one) for name in one.logins)
    logins = [registered] if registered else []
    logins += [plan.logins[name] for name in dict.fromkeys(names)]
    first: dict[tuple[str, str], Login] = {}
    for login in logins:
        first.setdefault((login.username, login.password), login)
    return list(first.values())


def _is_in(address: str, one: Range) -> bool:
    place, start, end = (ip_address(text) for text in (address, one.start, one.end))
    return place.version == start.version and int(start) <= int(place) <= int(end)
