"""What a machine under installation runs just now: the ramdisk of this boot, or its own system."""

from api.ssh.session import Sessions
from api.ssh.target import Refused, Target
from api.states import Reason

_RAMDISK = "cat /run/firstbox/boot"
# Cloud-init's word for whose first boot it was, and the mark that installers leave. Until the first
# boot is through, keys, names and networks may still change.
_SYSTEM = """\
cat /var/lib/cloud/data/instance-id /etc/firstbox/provision_id
for file in /var/lib/cloud/instance/boot-finished /etc/firstbox/provision_id; do
    [ ! -e "$file" ] || echo first boot is through
done
"""


async def expect_ramdisk(sessions: Sessions, target: Target, boot_id: str) -> str:
    """A sentence when the machine runs the ramdisk of this boot. Raises Refused."""
    answer = await sessions.run(target, _RAMDISK)
    if boot_id not in answer.output:
        raise Refused(Reason.WRONG_MACHINE, "runs another boot's ramdisk")
    return "runs the ramdisk already"


async def expect_system(sessions: Sessions, target: Target, provision_id: str) -> str:
    """A sentence when the machine runs what this installation put on its disk. Raises Refused."""
    answer = await sessions.run(target, _SYSTEM)
    lines = answer.output.split("\n")
    if provision_id not in lines:
        raise Refused(Reason.ADDRESS_IN_USE, "a system answers that this installation did not make")
    if "first boot is through" not in lines:
        raise Refused(Reason.OS_SILENT, "is still in its first boot")
    return "runs its own system"
