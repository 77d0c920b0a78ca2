"""From the text probe.sh printed to a Hardware: the way in to this package."""

from api.hardware.cpu import read_cpu
from api.hardware.disks import read_disks
from api.hardware.model import Hardware
from api.hardware.networks import read_networks
from api.hardware.sections import ProbeError, split_sections
from api.hardware.system import read_memory, read_operating_system, read_system, read_uname

# Without one of these a record would be wrong rather than poor.
_ESSENTIAL = {
    "uname": "the kernel's name (section uname)",
    "memory": "the memory (section memory)",
    "cpu": "the processors (section cpu)",
    "block": "the disks (section block)",
    "mounts": "the mounted file systems (section mounts)",
    "link": "the network interfaces (section link)",
    "address": "the network addresses (section address)",
}


def parse_probe(text: str, reached_at: str = "") -> Hardware:
    """Read one machine's hardware out of what the probe printed there.

    `reached_at` is the address we reached the machine at: it decides which network
    is the management network. Raises ProbeError, and nothing else, when the text is
    not a whole output.
    """
    sections, is_complete = split_sections(text)
    missing = [what for name, what in _ESSENTIAL.items() if name not in sections]
    if not is_complete:
        missing.append("its end")
    if missing:
        raise ProbeError(missing)
    uname = read_uname(sections)
    memory = read_memory(sections)
    cpu = read_cpu(sections, uname[2] if uname else "")
    networks = read_networks(sections, reached_at)
    if uname is None or memory is None or cpu is None or networks is None:
        found = {"uname": uname, "memory": memory, "cpu": cpu, "link": networks}
        raise ProbeError([_ESSENTIAL[name] for name, value in found.items() if value is None])
    return Hardware(
        hostname=uname[0],
        cpu=cpu,
        memory=memory,
        os=read_operating_system(sections, kernel_version=uname[1]),
        system=read_system(sections),
        disks=read_disks(sections),
        networks=networks[0],
        mgmt_network=networks[1],
    )
