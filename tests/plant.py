"""A home directory whose database knows some nodes, for molecule's scenarios.

python -m tests.plant HOME n-first=127.0.31.1 n-second=127.0.31.2
"""

import sys
from pathlib import Path

from api.states import NodeStatus
from tests.nodes import plant_nodes


def main() -> int:
    """Make the home that the command line describes."""
    home = Path(sys.argv[1])
    home.mkdir(mode=0o700, parents=True)
    pairs = [argument.split("=") for argument in sys.argv[2:]]
    plant_nodes(
        f"sqlite:///{home / 'firstbox.db'}",
        *(
            {"node_id": node_id, "address": address, "status": NodeStatus.PENDING}
            for node_id, address in pairs
        ),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
