"""Everything that can be set, in one class; each from `FIRSTBOX_<NAME>` or `$FIRSTBOX_HOME/firstbox.env`."""

import os
import re
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

HostKeyPolicy = Literal["accept-new", "strict", "off"]
ZoneId = Annotated[str, Field(min_length=1, max_length=64)]


class SshAccess(BaseModel):
    """How one zone's nodes are reached over SSH; what is left out is the default zone's."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = Field(None, description="Login name on the nodes.")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port of the SSH server.")
    private_key: Path | None = Field(None, description="Private key file, readable by the worker.")
    jump: str | None = Field(None, description="Jump host as `user@host:port`, or empty for none.")
    known_hosts: HostKeyPolicy | None = Field(
        None,
        description="`accept-new` records a key at first contact, `strict` accepts recorded keys "
        "only, `off` checks nothing.",
    )


class BmcLimits(TypedDict):
    """How long a fleet of BMCs is waited for, and how many are talked to at a time."""

    deadline: float
    silence: float
    processes: int


class Settings(BaseSettings):
    """The service's settings, read once at start; unsafe values are refused there."""

    model_config = SettingsConfigDict(env_prefix="FIRSTBOX_", extra="ignore")

    home: Path = Field(
        Path("/var/lib/firstbox"),
        description="Directory of database, keys, settings file and runs.",
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL of the database; empty means SQLite at `$FIRSTBOX_HOME/firstbox.db`.",
    )
    content: Path = Field(
        Path(__file__).parents[1],
        description="Directory of playbooks, roles, inventory_plugins and ansible.cfg.",
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port the API listens on.")
    max_body: int = Field(
        1_000_000, ge=1_000, description="Largest request body in bytes; larger ones get HTTP 413."
    )
    max_nodes_per_call: int = Field(
        10_000,
        ge=1,
        le=50_000,
        description="Most node ids in one request; more are refused with 2500.",
    )
    credential_max_age: int = Field(
        300, ge=10, le=3600, description="Seconds after which an encrypted PASSWORD is too old."
    )
    token_days: int = Field(90, ge=1, description="Days a new token lives unless told otherwise.")
    allowed_networks: list[IPv4Network | IPv6Network] = Field(
        default=[ip_network("0.0.0.0/0"), ip_network("::/0")],
        description="Networks (JSON list of CIDRs) the service may talk to; others are refused.",
    )
    served_zones: list[ZoneId] = Field(
        default=[],
        description="Zones (JSON list) whose jobs this host's worker runs and whose machines its boot "
        "server answers; empty means all of them.",
    )
    worker_concurrency: int = Field(2, ge=1, le=64, description="Jobs one worker runs at a time.")
    zone_concurrency: dict[ZoneId, Annotated[int, Field(ge=1, le=1000)]] = Field(
        default={},
        description="Jobs at work at the same time in a zone, all of its workers together, as JSON: "
        '`{"z2": 4}`; the same on every host.',
    )
    slice_nodes: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Nodes one worker takes of a job; larger jobs are cut into slices, which several "
        "workers run side by side.",
    )
    provision_at_once: int = Field(
        200,
        ge=1,
        le=100_000,
        description="Machines that are installed at the same time, all jobs together; the same on "
        "every host.",
    )
    max_failures: int = Field(
        0,
        ge=0,
        description="Failed nodes after which a job starts no more of them, unless the request says "
        "otherwise; 0 means that it goes on.",
    )
    lease: float = Field(
        30,
        ge=5,
        le=600,
        description="Seconds without a word after which a worker's jobs are another's; the same on "
        "every host.",
    )
    chores: bool = Field(
        True,
        description="Whether this host's worker also prunes what is old and delivers webhooks.",
    )
    job_days: float = Field(365, ge=0, description="Days a finished job is kept; 0 means for ever.")
    log_days: float = Field(
        90,
        ge=0,
        description="Days a finished job's log, and what a scan found, are kept; 0 means as long "
        "as the job.",
    )
    run_days: float = Field(
        30,
        ge=0,
        description="Days what ansible-playbook printed is kept in `$FIRSTBOX_HOME/runs`; 0 means "
        "for ever.",
    )
    audit_days: float = Field(
        0, ge=0, description="Days a row of the audit is kept, at least 30; 0 means for ever."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="How servers write their own log: `text` for people, `json` for machines.",
    )
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[\x21-\x7e]+)?$",
        description="Where traces are sent (OTLP over HTTP, such as `http://127.0.0.1:4318`); empty "
        "means nowhere.",
    )
    webhook_deadline: float = Field(10, gt=0, le=60, description="Seconds a webhook has to answer.")
    webhook_hours: float = Field(
        24, gt=0, le=720, description="Hours a webhook that fails is tried again."
    )
    queue_poll: float = Field(
        0.5, ge=0.05, le=10, description="Seconds between two looks of a worker into its queue."
    )
    max_attempts: int = Field(
        3, ge=1, le=10, description="How often a job is started when its workers die under it."
    )
    ssh_user: str = Field("root", description="Login name on the nodes.")
    ssh_port: int = Field(22, ge=1, le=65535, description="TCP port of the nodes' SSH servers.")
    ssh_private_key: Path | None = Field(
        None, description="Private key for the nodes; default `$FIRSTBOX_HOME/keys/ssh_ed25519`."
    )
    ssh_jump: str = Field("", description="Jump host as `user@host:port`, or empty for none.")
    ssh_known_hosts: HostKeyPolicy = Field(
        "accept-new", description="What to do about host keys: `accept-new`, `strict` or `off`."
    )
    zones: dict[str, SshAccess] = Field(
        default={},
        description='SSH access by zone where it differs, as JSON: `{"z2": {"port": 2222}}`.',
    )
    reach_deadline: float = Field(
        10, gt=0, le=600, description="Seconds a node has to answer on its SSH port."
    )
    probe_deadline: float = Field(
        60, gt=0, le=3600, description="Seconds a node has to log us in and answer the probe."
    )
    probe_concurrency: int = Field(
        32, ge=1, le=512, description="Nodes that are probed at the same time by one job."
    )

    boot_url: str = Field(
        "",
        description="Where booting machines reach this service, such as `http://10.0.0.1`; without "
        "it nothing boots over the network.",
    )
    boot_options: str = Field(
        "console=tty0 console=ttyS0,115200n8",
        pattern=r"^[\x21-\x7e]*( [\x21-\x7e]+)*$",
        description="What the kernels of ramdisk and installers are told besides, such as consoles.",
    )
    bmc_deadline: float = Field(
        30, gt=0, le=600, description="Seconds one conversation with a BMC may take."
    )
    bmc_silence: float = Field(
        6, ge=1, le=10, description="Seconds after which a BMC that says nothing is given up."
    )
    bmc_interval: float = Field(
        0.05, ge=0, le=60, description="Least seconds between two commands to the same BMC."
    )
    bmc_processes: int = Field(
        48, ge=1, le=64, description="BMCs one job talks to at the same time, a process for each."
    )
    bmc_login_attempts: int = Field(
        3, ge=1, le=20, description="Logins a BMC may refuse before it is left alone for a while."
    )
    bmc_login_window: float = Field(
        1800, ge=1, le=86400, description="Seconds after which refused logins count no more."
    )
    max_scan_addresses: int = Field(
        65_536, ge=1, le=1_048_576, description="Most addresses one scan may ask."
    )
    sweep_silence: float = Field(
        1.0, ge=0.1, le=10, description="Seconds a scan waits for answers after it asked everybody."
    )
    discovery: bool = Field(
        False,
        description="Whether unknown machines that boot over the network get the ramdisk, and are "
        "registered as `discovered`.",
    )
    discovery_most: int = Field(
        32, ge=1, le=1000, description="Unknown machines that may boot the ramdisk at a time."
    )
    discovery_bmc_user: bool = Field(
        False,
        description="Whether a discovered machine may be told to make a user for us in its BMC.",
    )
    discovery_profile: Path | None = Field(
        None,
        description="JSON file of what discovered machines become, as the `profile` of ScanBMNodes.",
    )
    power_deadline: float = Field(
        60, gt=0, le=1800, description="Seconds a machine has to be on or off once its BMC agreed."
    )
    soft_off_deadline: float = Field(
        300, gt=0, le=3600, description="Seconds an OS has to shut down when it is asked to."
    )
    ramdisk_deadline: float = Field(
        900, gt=0, le=7200, description="Seconds from power-on to the ramdisk's hello."
    )
    image_deadline: float = Field(
        1800, gt=0, le=86400, description="Seconds to write an image to a disk."
    )
    installer_deadline: float = Field(
        5400, gt=0, le=86400, description="Seconds a distribution's own installer may take."
    )
    nameservers: list[IPv4Address | IPv6Address] = Field(
        default=[], description="Name servers (JSON list) that installed systems are told."
    )
    os_config_deadline: float = Field(
        120, gt=0, le=3600, description="Seconds to write hostname, networks and keys to a disk."
    )
    os_deadline: float = Field(
        900,
        gt=0,
        le=7200,
        description="Seconds from power-on to the installed system's SSH server.",
    )

    @field_validator("boot_url")
    @classmethod
    def _boot_url_is_plain(cls, url: str) -> str:
        if url and not re.fullmatch(r"http://[0-9A-Za-z.:\[\]-]+(/[0-9A-Za-z._~/-]*)?", url):
            raise ValueError("must be like http://10.0.0.1 or http://boot.example.org:8000")
        return url.rstrip("/")

    @field_validator("home")
    @classmethod
    def _home_is_absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @cached_property
    def database(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.home / 'firstbox.db'}"

    @property
    def keys(self) -> Path:
        """Directory of private keys, mode 0700."""
        return self.home / "keys"

    @property
    def images(self) -> Path:
        """Directory of images and ramdisks; booting machines may read all of it."""
        return self.home / "images"

    @property
    def boot(self) -> Path:
        """Directory of the boot server: dnsmasq's configuration and the loaders."""
        return self.home / "boot"

    @property
    def bmc_limits(self) -> BmcLimits:
        """As `api.bmc.fleet.ask_bmcs` takes them."""
        return {
            "deadline": self.bmc_deadline,
            "silence": self.bmc_silence,
            "processes": self.bmc_processes,
        }

    def ssh_access(self, zone: str) -> SshAccess:
        """How nodes of `zone` are reached: its own values over the default zone's."""
        own = self.zones.get(zone, SshAccess())  # type: ignore[call-arg]  # pydantic defaults
        return SshAccess(
            user=own.user or self.ssh_user,
            port=own.port or self.ssh_port,
            private_key=own.private_key or self.ssh_private_key or self.keys / "ssh_ed25519",
            jump=self.ssh_jump if own.jump is None else own.jump,
            known_hosts=own.known_hosts or self.ssh_known_hosts,
        )


def load_settings(**given: Any) -> Settings:
    """Settings of this process; the environment wins over `$FIRSTBOX_HOME/firstbox.env`.

    Values that are `given` and not None win over both.
    """
    home = Path(os.environ.get("FIRSTBOX_HOME", Settings.model_fields["home"].default))
    set_here = {name: value for name, value in given.items() if value is not None}
    return Settings(_env_file=home.expanduser() / "firstbox.env", **set_here)  # type: ignore[call-arg]
