"""The right client for a BMC, logged in."""

from api.bmc.client import Client
from api.bmc.target import BmcTarget


def open_client(target: BmcTarget, *, slowness: float = 0.0) -> Client:
    """Log in. `slowness` is the seconds the BMC took to answer lately. Raises BmcError."""
    # Imported when first needed: a run on IPMI alone need not load an HTTP client, nor the reverse.
    if target.kind == "redfish":
        from api.bmc.redfish import RedfishClient

        return RedfishClient(target)
    from api.bmc.ipmi import IpmiClient

    return IpmiClient(target, slowness=slowness)
