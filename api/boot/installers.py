"""What a distribution's own installer reads: the registration in, the installer's file out. Pure.

Installers know no cards but those the registration names: the boot MAC and the members of bonds.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.boot.render import TEMPLATES
from api.errors import OurFault
from api.os_config.cloud_init import user_data
from api.os_config.layout import Nic, NicMissing, Placed, place
from api.os_config.wanted import Wanted
from api.states import BootMethod

_URL = re.compile(r"(https?)://([0-9A-Za-z.:\[\]-]+)(/[0-9A-Za-z._~/%+-]*)?", re.ASCII)
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*", re.ASCII)
_SECOND_ROUTE = 200  # metric of the default route that is only for when the other is gone


@dataclass(frozen=True, slots=True)
class Installation:
    """All that an installer's file depends on."""

    node_id: str
    provision_id: str
    base: str  # URL of this boot, with its token
    wanted: Wanted
    disk: str  # "" for the smallest that is large enough
    user: str  # who Firstbox logs in as
    ssh_key: str  # a line of authorized_keys
    nameservers: Sequence[str]
    values: Mapping[str, str]  # of the image


def kernel_options(method: str, one: Installation) -> tuple[str, ...]:
    """What the kernel of an installer is told, so that it finds its file and asks nothing."""
    host, _, domain = one.wanted.hostname.partition(".")
    match method:
        case BootMethod.PRESEED:
            words = ("auto=true", "priority=critical", "interface=auto")
            names = (f"hostname={host}", f"domain={domain}")
            # Asked before the file is fetched, where DHCP names no router and no name server.
            nameserver = next(iter(one.nameservers), "")
            ways = ("netcfg/no_default_route=true", f"netcfg/get_nameservers={nameserver}")
            # Behind the dashes: what the installed system's kernel is told too, such as consoles.
            return (*words, *names, *ways, f"url={one.base}/preseed.cfg", "---")
        case BootMethod.KICKSTART:
            repository = _url(one, "repository")
            return ("ip=dhcp", f"inst.ks={one.base}/kickstart.cfg", f"inst.repo={repository}")
        case _:
            iso = _url(one, "iso")
            return ("ip=dhcp", f"url={iso}", "autoinstall", f"ds=nocloud-net;s={one.base}/")


def preseed(one: Installation) -> str:
    """Answers for Debian's installer."""
    scheme, host, directory = _parts(one, "mirror")
    suite = one.values.get("suite", "")
    if suite and not _WORD.fullmatch(suite):
        raise OurFault(f"The image's value suite is {suite!r}, not a Debian release.")
    return _render("preseed.cfg", one, scheme=scheme, host=host, directory=directory, suite=suite)


def finish(one: Installation) -> str:
    """What Debian's installer is not asked: a script that runs in the installed system at its end."""
    placed = named_cards(one)
    return _render("finish.sh", one, cards=_cards(placed), stanzas=_stanzas(placed))


def kickstart(one: Installation) -> str:
    """Answers for Anaconda."""
    placed = named_cards(one)
    return _render(
        "kickstart.cfg",
        one,
        repository=_url(one, "repository"),
        cards=_cards(placed),
        networks=_kickstart_networks(placed, one),
    )


def autoinstall(one: Installation) -> str:
    """Answers for Ubuntu's installer."""
    cloud_config = user_data(one.wanted.hostname, one.user, one.ssh_key)
    answers: dict[str, Any] = {
        "version": 1,
        "locale": "en_US.UTF-8",
        "keyboard": {"layout": "us"},
        "refresh-installer": {"update": False},
        "ssh": {"install-server": True, "allow-pw": False},
        "storage": {"layout": {"name": "direct", "match": _disk_match(one.disk)}},
        "network": _netplan(named_cards(one), one.nameservers),
        "user-data": json.loads(cloud_config.partition("\n")[2]),
        "late-commands": [
            "mkdir -p /target/etc/firstbox",
            f"echo {one.provision_id} >/target/etc/firstbox/provision_id",
            f"wget -q -O /dev/null {one.base}/done",
        ],
        # The one who waits for the word above switches it on again, from its disk.
        "shutdown": "poweroff",
    }
    if "mirror" in one.values:
        primary = [{"arches": ["default"], "uri": _url(one, "mirror")}]
        answers["apt"] = {"primary": primary}
    return "#cloud-config\n" + json.dumps({"autoinstall": answers}, indent=1) + "\n"


def named_cards(one: Installation) -> tuple[Placed, ...]:
    """The networks on the cards that the registration names. Raises OurFault when one has none."""
    macs = [one.wanted.boot_mac, *(mac for net in one.wanted.networks for mac in net.members)]
    nics = [Nic(f"nic{n}", mac, has_link=True) for n, mac in enumerate(dict.fromkeys(macs))]
    try:
        return place(one.wanted, nics)
    except NicMissing as missing:
        message = f"{one.node_id}: an installer knows only the cards that are registered: {missing}"
        raise OurFault(message) from None


def _render(template: str, one: Installation, **values: Any) -> str:
    return TEMPLATES.get_template(template).render(one=one, wanted=one.wanted, **values)


def _cards(placed: Sequence[Placed]) -> dict[str, str]:
    """Name in our texts -> MAC, of the cards that are used."""
    return {nic.name: nic.mac for one in placed for nic in one.nics}


def _is_second(one: Placed, placed: Sequence[Placed]) -> bool:
    """Of two default routes the public one wins."""
    others = [other for other in placed if other is not one and other.network.gateway]
    return bool(one.network.title == "mgmt" and one.network.gateway and others)


def _stanzas(placed: Sequence[Placed]) -> list[dict[str, Any]]:
    """Interfaces for ifupdown: what lies below comes first."""
    made: dict[str, dict[str, Any]] = {}
    for one in placed:
        base = made.setdefault(one.device, _stanza(one.device, []))
        if one.network.has_bond and not base["lines"]:
            base["lines"] = _bond_lines(one)
        target = base
        if one.network.vlan_id:
            raw = [f"vlan-raw-device {_shell(one.device)}"]
            target = made.setdefault(one.name, _stanza(one.name, raw))
        target["addresses"].append(
            {
                "family": "inet6" if ":" in one.network.address else "inet",
                "address": one.network.interface,
                "gateway": one.network.gateway,
                "metric": _SECOND_ROUTE if _is_second(one, placed) else 0,
            }
        )
    return list(made.values())


def _stanza(name: str, lines: list[str]) -> dict[str, Any]:
    return {"name": _shell(name), "lines": lines, "addresses": []}


def _bond_lines(one: Placed) -> list[str]:
    lines = [
        f"bond-slaves {' '.join(_shell(nic.name) for nic in one.nics)}",
        f"bond-mode {one.network.bond_mode}",
        "bond-miimon 100",
    ]
    if one.network.bond_mode == "802.3ad":
        lines += ["bond-lacp-rate fast", "bond-xmit-hash-policy layer3+4"]
    return lines


def _shell(name: str) -> str:
    """A card is known by its MAC, and its name by the script's variable; a bond has its own."""
    card, dot, vlan = name.partition(".")
    return f"${{{card}}}{dot}{vlan}" if card.startswith("nic") else name


def _kickstart_networks(placed: Sequence[Placed], one: Installation) -> list[str]:
    """`network` lines, with the shell's variables for the names of cards."""
    lines = []
    modes: dict[str, str] = {}  # of each bond: what its first network asks
    for place_ in placed:
        net = place_.network
        mode = modes.setdefault(place_.device, net.bond_mode)
        words = [f"--device={_shell(place_.device)}", "--bootproto=static", "--onboot=yes"]
        if ":" in net.address:
            words += ["--noipv4", f"--ipv6={net.interface}"]
        else:
            words += [f"--ip={net.address}", f"--netmask={_netmask(net.prefix)}", "--noipv6"]
        if net.gateway:
            words.append(f"{'--ipv6gateway' if ':' in net.gateway else '--gateway'}={net.gateway}")
        if not net.gateway or _is_second(place_, placed):
            words.append("--nodefroute")
        if net.has_bond:
            slaves = ",".join(_shell(nic.name) for nic in place_.nics)
            words += [f"--bondslaves={slaves}", f"--bondopts={_bond_options(mode)}"]
        if net.vlan_id:
            words.append(f"--vlanid={net.vlan_id}")
        if one.nameservers:
            words.append(f"--nameserver={','.join(one.nameservers)}")
        lines.append(" ".join(["network", *words]))
    return lines


def _bond_options(mode: str) -> str:
    more = ",lacp_rate=fast,xmit_hash_policy=layer3+4" if mode == "802.3ad" else ""
    return f"mode={mode},miimon=100{more}"


def _netmask(prefix: int) -> str:
    bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    return ".".join(str(bits >> shift & 255) for shift in (24, 16, 8, 0))


def _netplan(placed: Sequence[Placed], nameservers: Sequence[str]) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {"ethernets": {}, "bonds": {}, "vlans": {}}
    for name, mac in _cards(placed).items():
        kinds["ethernets"][name] = {"match": {"macaddress": mac}}
    for one in placed:
        device = kinds["ethernets"].get(one.device)
        if device is None:
            device = kinds["bonds"].setdefault(one.device, _netplan_bond(one))
        if one.network.vlan_id:
            device = {"id": one.network.vlan_id, "link": one.device}
            kinds["vlans"][one.name] = device
        device["addresses"] = [*device.get("addresses", []), one.network.interface]
        if one.network.gateway:
            route: dict[str, Any] = {"to": "default", "via": one.network.gateway}
            if _is_second(one, placed):
                route["metric"] = _SECOND_ROUTE
            device["routes"] = [route]
        if nameservers:
            device["nameservers"] = {"addresses": list(nameservers)}
    return {"version": 2, **{kind: devices for kind, devices in kinds.items() if devices}}


def _netplan_bond(one: Placed) -> dict[str, Any]:
    parameters: dict[str, Any] = {"mode": one.network.bond_mode, "mii-monitor-interval": 100}
    if one.network.bond_mode == "802.3ad":
        parameters |= {"lacp-rate": "fast", "transmit-hash-policy": "layer3+4"}
    return {
        "interfaces": [nic.name for nic in one.nics],
        "macaddress": one.nics[0].mac,
        "parameters": parameters,
    }


def _disk_match(disk: str) -> dict[str, str]:
    return {"path": f"/dev/{disk}"} if disk else {"size": "smallest"}


def _url(one: Installation, name: str) -> str:
    scheme, host, directory = _parts(one, name)
    return f"{scheme}://{host}{directory}"


def _parts(one: Installation, name: str) -> tuple[str, str, str]:
    found = _URL.fullmatch(one.values.get(name, ""))
    if found is None:
        raise OurFault(
            f"The image's value {name} is {one.values.get(name, '')!r}, not an address such as "
            "http://mirror.example.org/debian: add the installer again with --value."
        )
    return found[1], found[2], found[3] or "/"
