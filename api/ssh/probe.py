"""What a machine is made of, asked over SSH."""

from pathlib import Path

from api import hardware
from api.hardware.model import Hardware
from api.hardware.parse import parse_probe
from api.hardware.sections import ProbeError
from api.ssh.session import Conversation
from api.ssh.target import Refused, Target
from api.states import Reason

_PROBE = Path(hardware.__file__).with_name("probe.sh").read_text()


# Seconds that a machine which booted a moment ago listens for its switches: they speak every 30 s.
LLDP_PATIENCE = 31


async def probe(
    conversation: Conversation, target: Target, *, lldp_patience: int = 0
) -> tuple[Hardware, str]:
    """Its hardware, and the host key it showed. Raises Refused."""
    answer = await conversation.run(f"lldp_wait={lldp_patience}\n{_PROBE}")
    try:
        return parse_probe(answer.output, target.address), answer.host_key
    except ProbeError as error:
        raise Refused(Reason.PROBE_INCOMPLETE, str(error)) from None
