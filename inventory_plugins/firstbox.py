"""Ansible's view of the nodes: read by `ansible`, `ansible-playbook` and every job."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible.release import __version__ as ansible_version

DOCUMENTATION = r"""
name: firstbox
short_description: Nodes of a Firstbox database as hosts
version_added: "0.1.0"
author: The Firstbox authors
requirements:
  - ansible-core 2.19 or later
  - the C(firstbox) Python package in the Python that runs Ansible
description:
  - Each node that has an address or a registered BMC is a host, named by its node id (C(n-) and
    eight characters). Only the database is read; no node is contacted.
  - "Groups: C(status_<status>), C(role_<role>), C(sub_role_<sub role>), C(zone_<zone id>),
    C(product_type_<product type>) and C(product_name_<product name>); characters that cannot stand
    in a group name become underscores, and an empty value makes no group."
  - "Groups of machines with a registered BMC: C(bm) for all of them, C(bm_status_<status>) and
    C(os_version_<os version>) by their registration, and C(bare) for those without an operating
    system to reach. Those have no C(ansible_host), and of the groups above only their zone's."
  - "Variables of a host: C(ansible_host) and one dictionary C(firstbox) with C(node_id),
    C(hostname), C(status), C(role), C(sub_roles), C(zone_id), C(product_type), C(product_name),
    C(serial_number), C(description) and C(host_key), and of a machine with a registered BMC C(bm),
    its registration in the words of the API. Neither the hardware record nor how to log in to a BMC
    is among them."
  - "Variables of a zone's group: C(ansible_user), C(ansible_port), C(ansible_ssh_private_key_file),
    C(ansible_ssh_common_args) (jump host and host key policy) and C(firstbox_zone) with C(jump),
    C(known_hosts) and C(known_hosts_file)."
  - Text from the database is never evaluated as a template, and never becomes a connection variable
    other than an C(ansible_host) that is an IP address. A node whose address is none is left out
    with a warning.
  - An option is taken from the inventory source, else from its environment variable, else from the
    line of that name in C(firstbox.env) in O(home), which is the service's own settings file.
extends_documentation_fragment:
  - constructed
options:
  plugin:
    description: Marks the file as a source for this plugin.
    type: str
    required: true
    choices: [firstbox]
  home:
    description: Directory of the service's database, keys and settings file.
    type: str
    default: /var/lib/firstbox
    env:
      - name: FIRSTBOX_HOME
  database_url:
    description:
      - URL of the database, beginning with C(sqlite:///) or C(postgresql://).
      - Without it, the SQLite file C(firstbox.db) in O(home).
    type: str
    env:
      - name: FIRSTBOX_DATABASE_URL
  nodes:
    description:
      - Ids of the nodes to read; without it, all of them. An empty list means no node at all.
      - An element C(@path) stands for the file's lines, one id each.
      - Only these are read from the database, which makes it much cheaper than C(--limit).
    type: list
    elements: str
    env:
      - name: FIRSTBOX_NODES
  zones:
    description:
      - Ids of the zones to read; without it, all of them. An empty list means no node at all.
      - The environment variable is not C(FIRSTBOX_ZONES), which holds O(zone_access).
    type: list
    elements: str
    env:
      - name: FIRSTBOX_INVENTORY_ZONES
  ssh_user:
    description: Login name on the nodes.
    type: str
    default: root
    env:
      - name: FIRSTBOX_SSH_USER
  ssh_port:
    description: TCP port of the nodes' SSH servers.
    type: int
    default: 22
    env:
      - name: FIRSTBOX_SSH_PORT
  ssh_private_key:
    description: Private key for the nodes; without it, C(keys/ssh_ed25519) in O(home).
    type: str
    env:
      - name: FIRSTBOX_SSH_PRIVATE_KEY
  ssh_jump:
    description:
      - Jump host as C(user@host:port), or empty for none.
      - It is logged in to with the same key and host key policy as the nodes.
    type: str
    default: ""
    env:
      - name: FIRSTBOX_SSH_JUMP
  ssh_known_hosts:
    description:
      - What to do about host keys. V(accept-new) records a key at first contact, V(strict) accepts
        recorded keys only, V(off) checks nothing.
      - Keys are recorded in C(known_hosts) in O(home).
    type: str
    choices: [accept-new, strict, "off"]
    default: accept-new
    env:
      - name: FIRSTBOX_SSH_KNOWN_HOSTS
  zone_access:
    description:
      - SSH access by zone where it differs, as a dictionary or JSON text. Each zone may have
        C(user), C(port), C(private_key), C(jump) and C(known_hosts); what is left out is as for all
        zones.
    type: raw
    env:
      - name: FIRSTBOX_ZONES
"""

EXAMPLES = r"""
# inventory/firstbox.yml: everything as the service has it
plugin: firstbox

---
# One zone, reached through a jump host, with groups and variables of one's own
plugin: firstbox
zones: [z2]
zone_access:
  z2:
    user: ops
    jump: ops@gate.example.org:2222
keyed_groups:
  - key: firstbox.product_name
    prefix: model
groups:
  racked: firstbox.description is search('rack')
compose:
  serial: firstbox.serial_number

# A few nodes out of many, from a shell:
#   FIRSTBOX_NODES=n-8AQZMLrm,n-Kd03xPq1 ansible all -m ping
#   FIRSTBOX_NODES=@nodes.txt ansible-playbook playbooks/collect.yml
"""

# A host's name becomes a file name (host_vars) and part of messages.
_NODE_ID = re.compile(r"n-[0-9A-Za-z]{1,64}", re.ASCII)
_JUMP = re.compile(
    r"((?P<user>\w[\w.-]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|\w[\w.-]*)(:(?P<port>\d{1,5}))?", re.ASCII
)
_STRICT_HOST_KEY_CHECKING = {"accept-new": "accept-new", "strict": "yes", "off": "no"}
_ZONE_KEYS = ("user", "port", "private_key", "jump", "known_hosts")


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Hosts, groups and variables out of the node database."""

    NAME = "firstbox"

    def verify_file(self, path: str) -> bool:
        """Whether `path` is a source for this plugin."""
        return path.endswith(("firstbox.yml", "firstbox.yaml")) and super().verify_file(path)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill `inventory` with the nodes that the options in `path` ask for."""
        _refuse_old_ansible(ansible_version)
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        home = Path(self.get_option("home")).expanduser().absolute()
        setting = self._settings(home)
        hosts = self._add_hosts(
            self._read_nodes(setting("database_url") or f"sqlite:///{home / 'firstbox.db'}"),
            _zone_access(setting, home),
            home / "known_hosts",
        )
        self._construct(hosts)

    def _settings(self, home: Path) -> Callable[[str], Any]:
        """A function from an option's name to its value, the service's settings file included."""
        in_file = _read_settings_file(home / "firstbox.env")

        def setting(name: str) -> Any:
            value, origin = self.get_option_and_origin(name)
            variable = "FIRSTBOX_ZONES" if name == "zone_access" else f"FIRSTBOX_{name.upper()}"
            return in_file.get(variable, value) if origin == "default" else value

        return setting

    def _read_nodes(self, database_url: str) -> list[Any]:
        try:
            from api.store.inventory import InventoryUnreadableError, read_nodes
        except ImportError as error:
            raise AnsibleParserError(
                f"Firstbox is not installed in the Python that runs Ansible ({error}): install it "
                "there, or use the ansible commands of its own virtual environment."
            ) from error
        node_ids, zone_ids = self.get_option("nodes"), self.get_option("zones")
        if node_ids is not None:
            node_ids = list(_expand_files(node_ids))
        if zone_ids is not None:
            zone_ids = [str(zone_id) for zone_id in zone_ids]
        try:
            nodes = read_nodes(database_url, node_ids=node_ids, zone_ids=zone_ids)
        except InventoryUnreadableError as error:
            raise AnsibleParserError(str(error)) from error
        if node_ids is not None:
            self._warn("asked for but not found", set(node_ids) - {node.node_id for node in nodes})
        return nodes

    def _add_hosts(
        self, nodes: list[Any], access_to: Callable[[str], ZoneAccess], known_hosts: Path
    ) -> list[Any]:
        """Add a host with its groups for each node.

        Hosts are filled without `inventory.set_variable`, which copies and marks each value: that
        doubles the time for 10,000 nodes. Values it has not marked are not templates either.
        """
        groups = _Groups(self.inventory, self._sanitize_group_name)
        for kind in ("bm", "bare"):  # there without a member, too: Ansible warns of unknown groups
            groups.of(kind)
        zones: dict[str, Any] = {}
        hosts, left_out = [], []
        for node in nodes:
            is_bare = node.address is None
            if is_bare and not node.bm:
                continue
            address = None if is_bare else _plain_address(node.address)
            if (address is None and not is_bare) or not _NODE_ID.fullmatch(node.node_id):
                left_out.append(node.node_id)
                continue
            if node.zone_id not in zones:
                zones[node.zone_id] = groups.zone(
                    node.zone_id, _connection(access_to(node.zone_id), known_hosts)
                )
            self.inventory.add_host(node.node_id)
            host = self.inventory.hosts[node.node_id]
            host.vars.update(zones[node.zone_id])
            if address:
                host.vars["ansible_host"] = address
            host.vars["firstbox"] = _described(node)
            for kind, value in _memberships(node):
                groups.of(kind, value).add_host(host)
            hosts.append(host)
        self._warn("left out because address or id is not valid", left_out)
        return hosts

    def _construct(self, hosts: list[Any]) -> None:
        """What the operator's own expressions make of the hosts."""
        compose, groups = self.get_option("compose"), self.get_option("groups")
        keyed_groups, strict = self.get_option("keyed_groups"), self.get_option("strict")
        if not (compose or groups or keyed_groups):
            return
        for host in hosts:
            variables = host.get_vars()
            self._set_composite_vars(compose, variables, host.name, strict=strict)
            self._add_host_to_composed_groups(groups, variables, host.name, strict=strict)
            self._add_host_to_keyed_groups(keyed_groups, variables, host.name, strict=strict)

    def _warn(self, what: str, node_ids: Any) -> None:
        if node_ids:
            first = ", ".join(repr(node_id)[:80] for node_id in sorted(node_ids)[:5])
            self.display.warning(f"firstbox: {len(node_ids)} nodes {what}: {first}"[:500])


class _Groups:
    """The inventory's groups by what they stand for; each name is made once."""

    def __init__(self, inventory: Any, sanitize: Callable[[str], str]) -> None:
        self._inventory = inventory
        self._sanitize = sanitize
        self._groups: dict[tuple[str, str], Any] = {}
        self._zones: set[str] = set()

    def of(self, kind: str, value: str = "") -> Any:
        group = self._groups.get((kind, value))
        if group is None:
            words = f"{kind}_{value}" if value else kind
            name = self._inventory.add_group(self._sanitize(words))
            group = self._groups[kind, value] = self._inventory.groups[name]
        return group

    def zone(self, zone_id: str, connection: dict[str, Any]) -> dict[str, Any]:
        """Set a zone's variables on its group; what is returned must be set on its hosts.

        Two zones may differ only in characters that a group name cannot have. They share a group
        then, and the second one's variables go to its hosts.
        """
        name = self.of("zone", zone_id).name
        if name in self._zones:
            return connection
        self._zones.add(name)
        for variable, value in connection.items():
            self._inventory.set_variable(name, variable, value)
        return {}


def _memberships(node: Any) -> Iterator[tuple[str, str]]:
    yield "zone", node.zone_id
    if node.bm:
        yield "bm", ""
        yield "bm_status", node.bm["status"]
        if os_version := node.bm["os_version"]:
            yield "os_version", os_version
    if node.address is None:
        yield "bare", ""
    else:
        yield from _system_memberships(node)


def _system_memberships(node: Any) -> Iterator[tuple[str, str]]:
    for kind in ("status", "role", "product_type", "product_name"):
        if value := getattr(node, kind):
            yield kind, value
    for sub_role in node.sub_roles:
        if sub_role:
            yield "sub_role", sub_role


def _described(node: Any) -> dict[str, Any]:
    variables: dict[str, Any] = node._asdict()
    del variables["address"]
    if node.bm is None:
        del variables["bm"]
    return variables


def _plain_address(text: str) -> str | None:
    """The address in canonical spelling; None for anything else, as `fe80::1%{{ x }}`."""
    try:
        return None if "%" in text else str(ip_address(text))
    except ValueError:
        return None


@dataclass(frozen=True)
class ZoneAccess:
    """How one zone's nodes are reached over SSH."""

    user: str
    port: int
    private_key: str
    jump: str
    known_hosts: str


def _zone_access(setting: Callable[[str], Any], home: Path) -> Callable[[str], ZoneAccess]:
    """A function from a zone's id to its access, by the rules of `api.settings.ssh_access`.

    Those are repeated here because pydantic would double the plugin's time; a test compares both.
    """
    zones = _zones(setting("zone_access"))
    private_key = setting("ssh_private_key") or home / "keys" / "ssh_ed25519"

    def access_to(zone_id: str) -> ZoneAccess:
        own = zones.get(zone_id, {})
        jump = own.get("jump")
        known_hosts = str(own.get("known_hosts") or setting("ssh_known_hosts"))
        if known_hosts not in _STRICT_HOST_KEY_CHECKING:
            raise AnsibleParserError(
                f"known_hosts of zone {zone_id!r} is {known_hosts!r}: it must be accept-new, "
                "strict or off."
            )
        return ZoneAccess(
            user=str(own.get("user") or setting("ssh_user")),
            port=_port(own.get("port") or setting("ssh_port")),
            private_key=str(own.get("private_key") or private_key),
            jump=str(setting("ssh_jump") if jump is None else jump),
            known_hosts=known_hosts,
        )

    return access_to


def _zones(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise AnsibleParserError(f"FIRSTBOX_ZONES is not JSON: {error}.") from error
    zones = value or {}
    if not isinstance(zones, Mapping):
        raise AnsibleParserError("FIRSTBOX_ZONES must be an object of zones by id.")
    for zone_id, own in zones.items():
        unknown = set(own) - set(_ZONE_KEYS) if isinstance(own, Mapping) else {"its value"}
        if unknown:
            raise AnsibleParserError(
                f"FIRSTBOX_ZONES: zone {zone_id!r} has {', '.join(sorted(map(str, unknown)))}; "
                f"a zone is an object of {', '.join(_ZONE_KEYS)}."
            )
    return zones


def _port(value: Any) -> int:
    if not str(value).isdecimal() or not 1 <= int(value) <= 65535:
        raise AnsibleParserError(f"SSH port {value!r} is not a number from 1 to 65535.")
    return int(value)


def _connection(access: ZoneAccess, known_hosts: Path) -> dict[str, Any]:
    """A zone's variables: what Ansible's ssh connection needs, and what our own modules need."""
    return {
        "ansible_user": access.user,
        "ansible_port": access.port,
        "ansible_ssh_private_key_file": access.private_key,
        "ansible_ssh_common_args": _common_args(access, known_hosts),
        "firstbox_zone": {
            "jump": access.jump,
            "known_hosts": access.known_hosts,
            "known_hosts_file": str(known_hosts),
        },
    }


def _common_args(access: ZoneAccess, known_hosts: Path) -> str:
    file = "/dev/null" if access.known_hosts == "off" else _escaped(str(known_hosts))
    options = [
        f"-oStrictHostKeyChecking={_STRICT_HOST_KEY_CHECKING[access.known_hosts]}",
        f'-oUserKnownHostsFile="{file}"' if " " in file else f"-oUserKnownHostsFile={file}",
    ]
    if not access.jump:
        return shlex.join(options)
    return shlex.join([*options, f"-oProxyCommand={_proxy_command(access, options)}"])


def _proxy_command(access: ZoneAccess, options: list[str]) -> str:
    """`-J` would log in to the jump host with another key and host key policy than ours."""
    jump = _JUMP.fullmatch(access.jump)
    if not jump:
        raise AnsibleParserError(f"Jump host {access.jump!r} is not of the form user@host:port.")
    command = ["ssh", "-oBatchMode=yes", *options, "-i", _escaped(access.private_key)]
    command += ["-p", str(_port(jump["port"] or 22)), "-l", jump["user"] or access.user]
    return f"{_escaped(shlex.join(command))} -W '[%h]:%p' {jump['host'].strip('[]')}"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")  # ssh expands %h and the like in paths and commands


def _read_settings_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # what pydantic-settings reads the same file with

    try:
        values = dotenv_values(path, encoding="utf-8")
    except OSError as error:
        raise AnsibleParserError(
            f"The settings file cannot be read ({error}): run Ansible as the service's user."
        ) from error
    return {name.upper(): value for name, value in values.items() if value is not None}


def _expand_files(names: list[Any]) -> Iterator[str]:
    for name in (str(name).strip() for name in names):
        if name.startswith("@"):
            try:
                lines = Path(name[1:]).expanduser().read_text(encoding="utf-8").splitlines()
            except OSError as error:
                raise AnsibleParserError(f"The list of nodes cannot be read: {error}.") from error
            yield from (line.strip() for line in lines if line.strip())
        elif name:
            yield name


def _refuse_old_ansible(version: str) -> None:
    """Before 2.19, text from the database would be evaluated as templates: code on this machine."""
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 19):
        raise AnsibleParserError(
            f"The firstbox inventory needs ansible-core 2.19 or later, and this is {version}: "
            "older ones evaluate text from the database as templates."
        )
