"""Processors: how many, in how many sockets, and what they call themselves."""

from api.hardware.model import Cpu
from api.hardware.sections import MAX_TEXT, Sections, number

# ARM's kernel prints numbers where others print a name.
_ARM_CORES = {
    "0x41": (
        "ARM",
        {
            "0xd03": "Cortex-A53",
            "0xd04": "Cortex-A35",
            "0xd05": "Cortex-A55",
            "0xd07": "Cortex-A57",
            "0xd08": "Cortex-A72",
            "0xd09": "Cortex-A73",
            "0xd0a": "Cortex-A75",
            "0xd0b": "Cortex-A76",
            "0xd0c": "Neoverse-N1",
            "0xd40": "Neoverse-V1",
            "0xd49": "Neoverse-N2",
            "0xd4f": "Neoverse-V2",
            "0xd84": "Neoverse-V3",
            "0xd8e": "Neoverse-N3",
        },
    ),
    "0x42": ("Broadcom", {"0x516": "ThunderX2"}),
    "0x43": ("Cavium", {"0x0a1": "ThunderX", "0x0af": "ThunderX2"}),
    "0x46": ("Fujitsu", {"0x001": "A64FX"}),
    "0x48": ("HiSilicon", {"0xd01": "Kunpeng-920", "0xd02": "TaiShan-v120"}),
    "0x4e": ("NVIDIA", {"0x003": "Denver 2", "0x004": "Carmel"}),
    "0x50": ("APM", {"0x000": "X-Gene"}),
    "0x51": ("Qualcomm", {"0xc00": "Falkor", "0xc01": "Saphira"}),
    "0x61": ("Apple", {"0x022": "M1", "0x023": "M1"}),
    "0x70": ("Phytium", {"0x662": "FTC662", "0x663": "FTC663", "0x862": "FTC862"}),
    "0xc0": ("Ampere", {"0xac3": "Ampere-1", "0xac4": "Ampere-1a"}),
}
_MODEL_KEYS = ("cpu model", "cpu", "Processor", "system type", "Hardware")


def read_cpu(sections: Sections, arch: str) -> Cpu | None:
    """The processors, or None if nothing counts them.

    The kernel's topology is believed first: it knows all architectures and the
    threads of a core; /proc/cpuinfo counts where there is no /sys.
    """
    facts, listed, pairs = _read_cpuinfo(sections.lines("cpu"))
    threads, packages = _read_topology(sections)
    processors = len(threads) or listed
    if not processors:
        return None
    return Cpu(
        cpu_arch=arch,
        cpu_cores=len(set(threads.values())) or len(pairs) or processors,
        cpu_model=_model(facts),
        cpu_processors=processors,
        cpu_sockets=len(packages) or len({package for package, _ in pairs}) or 1,
    )


def _read_cpuinfo(lines: list[str]) -> tuple[dict[str, str], int, set[tuple[str, str]]]:
    """The first value of each key, the number of processors, the (package, core) pairs."""
    facts: dict[str, str] = {}
    listed, total, package = 0, 0, ""
    pairs: set[tuple[str, str]] = set()
    for line in lines:
        key, _, value = line.partition(":")
        key, value = key.strip(), value.strip()[:MAX_TEXT]
        if key == "processor":
            listed += 1
        elif key == "processors":
            total = number(value)
        elif key == "physical id":
            package = value
        elif key == "core id":
            pairs.add((package, value))
        else:
            facts.setdefault(key, value)
    return facts, min(total or listed, 2**16), pairs


def _read_topology(sections: Sections) -> tuple[dict[str, str], set[str]]:
    """The sibling threads of each processor, and the packages."""
    threads: dict[str, str] = {}
    packages: set[str] = set()
    for path, value in sections.files("topology"):
        processor, _, name = path.partition("/topology/")
        if name == "thread_siblings_list":
            threads[processor] = value
        elif name == "physical_package_id":
            packages.add(value)
    return threads, packages


def _model(facts: dict[str, str]) -> str:
    if facts.get("model name"):
        return " ".join(facts["model name"].split())
    maker, cores = _ARM_CORES.get(facts.get("CPU implementer", ""), ("", {}))
    if maker:
        part = facts.get("CPU part", "")
        return f"{maker} {cores.get(part, part)}".strip()
    return next((" ".join(facts[key].split()) for key in _MODEL_KEYS if facts.get(key)), "")
