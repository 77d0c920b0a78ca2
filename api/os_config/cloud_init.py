"""What cloud-init reads at the first boot (NoCloud): who the machine is and how it is wired.

Everything is written as JSON, which is YAML too: no text of anybody's can end a line or a quote.
Networks are in version 1 of the format, which all releases since Ubuntu 14.04 and CentOS 7 read; each
distribution's own renderer makes its files of it.
"""

import json
from collections.abc import Sequence
from typing import Any

from api.os_config.layout import Nic, Placed


def meta_data(provision_id: str, hostname: str) -> str:
    """Whose first boot this is: another instance id means that everything is set up anew."""
    return _json({"instance-id": provision_id, "local-hostname": hostname})


def user_data(hostname: str, user: str, ssh_key: str) -> str:
    """Hostname, and who may log in: the user Firstbox works as, with its key and nothing else."""
    login: dict[str, Any] = {"name": user, "lock_passwd": True, "ssh_authorized_keys": [ssh_key]}
    if user != "root":
        login |= {"shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    config: dict[str, Any] = {
        "hostname": hostname.partition(".")[0],
        "preserve_hostname": False,
        "manage_etc_hosts": True,
        "disable_root": user != "root",
        "ssh_pwauth": False,
        "users": [login],
        "growpart": {"mode": "auto", "devices": ["/"]},
    }
    if "." in hostname:
        config["fqdn"] = hostname
    return "#cloud-config\n" + _json(config)


def network_config(
    placed: Sequence[Placed], nics: Sequence[Nic], nameservers: Sequence[str]
) -> str:
    """Cards, bonds, VLANs and static addresses."""
    names = lasting_names(nics)
    used = list(dict.fromkeys(nic for one in placed for nic in one.nics))
    devices: dict[str, dict[str, Any]] = {
        names[nic.mac]: {"type": "physical", "name": names[nic.mac], "mac_address": nic.mac}
        for nic in used
    }
    for one in placed:
        device = names[one.nics[0].mac] if one.device == one.nics[0].name else one.device
        if device not in devices:
            devices[device] = _bond(device, one, names)
        name = device
        if one.network.vlan_id:
            name = f"{device}.{one.network.vlan_id}"
            devices[name] = _vlan(name, device, one.network.vlan_id)
        devices[name].setdefault("subnets", []).append(_subnet(one, placed))
    config = list(devices.values())
    if nameservers:
        config.append({"type": "nameserver", "address": list(nameservers)})
    return _json({"version": 1, "config": config})


def lasting_names(nics: Sequence[Nic]) -> dict[str, str]:
    """MAC -> the name a card has in the installed system.

    `eth0` is what a kernel calls the first card it happens to find: such names do not last.
    """
    return {
        nic.mac: f"nic{number}" if nic.name.startswith("eth") else nic.name
        for number, nic in enumerate(nics)
    }


def _bond(name: str, placed: Placed, names: dict[str, str]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"bond-mode": placed.network.bond_mode, "bond-miimon": 100}
    if placed.network.bond_mode == "802.3ad":
        parameters |= {"bond-lacp-rate": "fast", "bond-xmit-hash-policy": "layer3+4"}
    return {
        "type": "bond",
        "name": name,
        "mac_address": placed.nics[0].mac,
        "bond_interfaces": [names[nic.mac] for nic in placed.nics],
        "params": parameters,
    }


def _vlan(name: str, device: str, vlan_id: int) -> dict[str, Any]:
    return {"type": "vlan", "name": name, "vlan_link": device, "vlan_id": vlan_id}


def _subnet(one: Placed, placed: Sequence[Placed]) -> dict[str, Any]:
    network = one.network
    subnet: dict[str, Any] = {
        "type": "static6" if ":" in network.address else "static",
        "address": network.interface,
    }
    # Of two default routes the public one wins; the other stays for when it is gone.
    is_second = network.title == "mgmt" and any(
        other.network.gateway for other in placed if other is not one
    )
    if network.gateway and is_second:
        route = {"network": "::", "netmask": "::"} if ":" in network.gateway else _IPV4_DEFAULT
        subnet["routes"] = [{**route, "gateway": network.gateway, "metric": 200}]
    elif network.gateway:
        subnet["gateway"] = network.gateway
    return subnet


_IPV4_DEFAULT = {"network": "0.0.0.0", "netmask": "0.0.0.0"}  # noqa: S104  # a route


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"
