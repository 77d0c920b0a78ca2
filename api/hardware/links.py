"""Network interfaces as the kernel has them, from ip, /sys/class/net, /proc/net or ifconfig."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from api.hardware.sections import Sections, number

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_MAX_LINKS = 4096
_MAX_ADDRESSES = 64
_MAX_ADDRESS_LENGTH = 64
_NAME = re.compile(r"[A-Za-z0-9_.:+~-]{1,15}")
_LINK = re.compile(r"(\d{1,9}): ([^\s:@]+)(?:@([^\s:]+))?: <([^>]*)>(.*)")
_ADDRESS = re.compile(r"\d{1,9}: (\S+) +inet6? (\S+)(.*)")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5,19}")
# Other words after the backslashes ("altname", "vf", "prog/xdp") are said of any device.
_KIND = re.compile(
    r"amt|bareudp|bond|bridge|dummy|erspan|geneve|gre|gretap|gtp|hsr|ifb|ip6erspan|ip6gre|"
    r"ip6gretap|ip6tnl|ipip|ipoib|ipvlan|ipvtap|macsec|macvlan|macvtap|netdevsim|nlmon|"
    r"openvswitch|sit|team|tun|vcan|veth|vlan|vrf|vti|vti6|vxcan|vxlan|wireguard|xfrm"
)
_BOND_MODES = (
    ("balance-rr", "round-robin"),
    ("active-backup",),
    ("balance-xor", "(xor)"),
    ("broadcast",),
    ("802.3ad",),
    ("balance-tlb", "transmit load balancing"),
    ("balance-alb", "adaptive load balancing"),
)


@dataclass(slots=True, eq=False)
class Link:
    """One interface; `kind` is the kernel's word ("bond", "veth"), "" for a plain device."""

    name: str
    index: int = 0
    kind: str = ""
    mac: str = ""
    permanent_mac: str = ""
    mtu: int = 0
    speed: int = 0
    is_up: bool = False
    is_loopback: bool = False
    is_virtual: bool = False
    master: str = ""
    lower: str = ""
    vlan_id: int | None = None
    bond_mode: int = 0
    slaves: list[str] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)


Links = dict[str, Link]


def read_links(sections: Sections) -> Links:
    """All interfaces by name, in the kernel's order.

    Where `ip` told, /sys only adds to an interface with the same index and MAC:
    a /sys mounted before the network namespace was made shows another's.
    """
    links = _read_ip_link(sections.lines("link"))
    _add_sysfs(links, sections, is_only_source=not links)
    _add_proc(links, sections)
    for link in links.values():
        if link.master in links and link.name not in links[link.master].slaves:
            links[link.master].slaves.append(link.name)
    for link in links.values():
        link.slaves = [name for name in dict.fromkeys(link.slaves) if name in links]
    _add_addresses(links, sections.lines("address"))
    return links


def make_address(text: str) -> Address | None:
    """An address with its prefix, or None for anything else."""
    if "%" in text or len(text) > _MAX_ADDRESS_LENGTH:
        return None
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None


def is_mac(text: str) -> bool:
    """True for a hardware address that means something."""
    return _MAC.fullmatch(text) is not None and bool(text.strip("0:"))


def _read_ip_link(lines: list[str]) -> Links:
    links: Links = {}
    for line in lines[:_MAX_LINKS]:
        match = _LINK.match(line)
        if match and _NAME.fullmatch(match[2]):
            head, *segments = match[5].split("\\")
            flags = match[4].split(",")
            link = Link(
                name=match[2],
                index=number(match[1]),
                lower=match[3] or "",
                mtu=number(_word_after(head.split(), "mtu")),
                is_up="LOWER_UP" in flags,
                is_loopback="LOOPBACK" in flags,
                master=_word_after(head.split(), "master"),
            )
            for segment in segments:
                _read_segment(link, segment.split())
            links[link.name] = link
    return links


def _read_segment(link: Link, words: list[str]) -> None:
    """One of the parts `ip -d` separates by backslashes."""
    first = words[0] if words else ""
    if first.startswith("link/"):
        mac = _word_after(words, first).lower()
        link.mac = mac if is_mac(mac) else ""
        permanent = _word_after(words, "permaddr").lower()
        link.permanent_mac = permanent if is_mac(permanent) else ""
    elif first == "bond_slave":
        permanent = _word_after(words, "perm_hwaddr").lower()
        link.permanent_mac = permanent if is_mac(permanent) else link.permanent_mac
    elif not link.kind and _KIND.fullmatch(first):
        link.kind = first
        if first == "vlan":
            link.vlan_id = _vlan_id(_word_after(words, "id"))
        elif first == "bond":
            link.bond_mode = _bond_mode(_word_after(words, "mode"))


def _add_sysfs(links: Links, sections: Sections, *, is_only_source: bool) -> None:
    facts: dict[str, dict[str, str]] = {}
    ports: dict[str, list[str]] = {}
    for path, value in sections.files("sysnet"):
        name, _, attribute = path.partition("/")
        if attribute == "port":
            ports.setdefault(name, []).append(value)
        elif attribute == "uevent":
            key, _, value = value.partition("=")
            facts.setdefault(name, {})[key] = value
        else:
            facts.setdefault(name, {})[attribute] = value
    if is_only_source:
        for name, told in list(facts.items())[:_MAX_LINKS]:
            if _NAME.fullmatch(name) and "address" in told:
                links[name] = _make_link(name, told)
    virtual = set(_find_virtual(sections.lines("links")))
    names = {link.index: link.name for link in links.values()}
    for name, link in links.items():
        told = facts.get(name, {})
        if number(told.get("ifindex", "")) != link.index or not _is_same_mac(link, told):
            continue
        link.is_virtual = name in virtual
        _add_details(link, told)
        link.slaves += ports.get(name, [])
        if link.kind == "vlan" and not link.lower:
            link.lower = names.get(number(told.get("iflink", "")), "")
    for link in links.values():
        for slave in link.slaves:
            if slave in links:
                links[slave].master = links[slave].master or link.name


def _make_link(name: str, told: dict[str, str]) -> Link:
    mac = told["address"].lower()
    return Link(
        name=name,
        index=number(told.get("ifindex", "")),
        mac=mac if is_mac(mac) else "",
        mtu=number(told.get("mtu", "")),
        is_up=told.get("carrier") == "1",
        is_loopback=told.get("type") == "772",
    )


def _is_same_mac(link: Link, told: dict[str, str]) -> bool:
    return told.get("address", "").strip("0:").lower() == link.mac.strip("0:")


def _add_details(link: Link, told: dict[str, str]) -> None:
    if not link.kind:
        link.kind = _kind(told)
    if link.kind == "bond" and not link.bond_mode:
        link.bond_mode = _bond_mode(told.get("bonding/mode", ""))
    link.slaves += told.get("bonding/slaves", "").split()
    # Older kernels print an unknown speed as 65535 or 4294967295.
    speed = number(told.get("speed", ""))
    link.speed = speed if speed < 10**7 and speed != 65535 else 0
    permanent = told.get("bonding_slave/perm_hwaddr", "").lower()
    if is_mac(permanent) and not link.permanent_mac:
        link.permanent_mac = permanent


def _kind(told: dict[str, str]) -> str:
    for attribute, kind in (("bonding/mode", "bond"), ("bridge", "bridge"), ("tun_flags", "tun")):
        if told.get(attribute):
            return kind
    kind = told.get("DEVTYPE", "")
    return "" if kind in ("wlan", "wwan") else kind


def _find_virtual(lines: list[str]) -> Iterable[str]:
    for line in lines:
        name, arrow, target = line.partition(" -> ")
        if arrow and "/devices/virtual/net/" in target:
            yield name.rpartition(" ")[2]


def _add_proc(links: Links, sections: Sections) -> None:
    slave: Link | None = None
    for path, line in sections.files("procnet"):
        if path == "/proc/net/vlan/config":
            name, vlan_id, lower = ([*line.split("|"), "", ""])[:3]
            link = links.get(name.strip())
            if link is not None and _vlan_id(vlan_id) is not None:
                link.kind, link.vlan_id = "vlan", _vlan_id(vlan_id)
                link.lower = link.lower or lower.strip()
        elif path.startswith("/proc/net/bonding/"):
            bond = links.get(path.removeprefix("/proc/net/bonding/"))
            if bond is None:
                continue
            key, _, value = line.partition(": ")
            if key == "Bonding Mode":
                bond.kind, bond.bond_mode = "bond", _bond_mode(value)
            elif key == "Slave Interface":
                slave = links.get(value)
                bond.slaves.append(value)
                if slave is not None:
                    slave.master = bond.name
            elif key == "Permanent HW addr" and slave and is_mac(value.lower()):
                slave.permanent_mac = value.lower()


def _add_addresses(links: Links, lines: list[str]) -> None:
    """Keep global addresses, the first of each family first; temporary IPv6 ones are left out."""
    for name, text, rest in (*_read_ip_addr(lines), *_read_ifconfig(lines)):
        link = links.get(name)
        address = make_address(text)
        words = rest.split()
        is_global = not {"host", "link", "temporary", "deprecated"} & set(words)
        if link and address and is_global and len(link.addresses) < _MAX_ADDRESSES:
            link.addresses.append(address)


def _read_ip_addr(lines: list[str]) -> Iterable[tuple[str, str, str]]:
    for line in lines:
        if match := _ADDRESS.match(line):
            name, text, rest = match[1], match[2], match[3].partition("\\")[0]
            words = rest.split()
            if words[:1] == ["peer"] and len(words) > 1 and "/" not in text:
                text = f"{text}/{words[1].partition('/')[2]}"
            yield name, text, rest


def _read_ifconfig(lines: list[str]) -> Iterable[tuple[str, str, str]]:
    """Both kinds: "inet addr:10.0.0.2  Mask:255.0.0.0" and "inet 10.0.0.2  netmask 255.0.0.0"."""
    name = ""
    for line in lines:
        words = line.replace("addr: ", "addr:").replace("Mask:", "netmask ").split()
        if not words or ">" in words[0]:
            continue
        if not line[0].isspace():
            name = words[0].rstrip(":")
        elif words[0] == "inet" and len(words) > 1:
            text = words[1].removeprefix("addr:")
            yield name.partition(":")[0], f"{text}/{_word_after(words, 'netmask') or 32}", ""
        elif words[0] == "inet6" and len(words) > 1:
            text, prefix = words[1].removeprefix("addr:"), _word_after(words, "prefixlen")
            is_global = "Scope:Global" in words or "0x0<global>" in words
            yield name, f"{text}/{prefix}" if prefix else text, "" if is_global else "link"


def _word_after(words: list[str], key: str) -> str:
    return words[words.index(key) + 1] if key in words[:-1] else ""


def _vlan_id(text: str) -> int | None:
    value = number(text)
    return value if 1 <= value <= 4094 else None


def _bond_mode(text: str) -> int:
    """From sysfs ("802.3ad 4"), ip ("802.3ad") or /proc ("IEEE 802.3ad Dynamic ...")."""
    text = text.lower()
    for mode, names in enumerate(_BOND_MODES):
        if any(name in text for name in names):
            return mode
    return number(text) if number(text) < len(_BOND_MODES) else 0
