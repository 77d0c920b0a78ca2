"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: bmc_register
short_description: Register the machines of BMCs that bmc_identify found
description:
  - Reads C(identified.json) and decides, with the whole scan in view, what becomes of each machine; then
    writes into the node database, in transactions of up to 100 machines.
  - A machine is known by its serial number, else by its BMC's MAC, else by the address. Only what is empty
    in a registration is filled; what contradicts one is a conflict, and nothing is written.
  - The database is the one that C(FIRSTBOX_HOME) or C(FIRSTBOX_DATABASE_URL) names.
  - In a dry run and in check mode nothing is written.
options:
  nodes:
    description: Ids of registered machines that were scanned again; none where ranges were.
    type: list
    elements: str
    required: true
  src:
    description: Directory on the controller with the file.
    type: path
    required: true
  request:
    description: File of what to scan; without it, what the job was asked.
    type: str
    default: ""
author: Firstbox
"""

EXAMPLES = """
- name: Register what was found
  bmc_register:
    nodes: []
    src: /var/tmp/found
    request: rack1.yml
  run_once: true
"""

RETURN = """
results:
  description: One entry per BMC.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: The BMC's address.
      type: str
    node:
      description: Node id, where registered machines were scanned again; else empty.
      type: str
    ok:
      description: Whether it is no conflict.
      type: bool
    reason:
      description: Empty, or scan_conflict.
      type: str
    outcome:
      description: V(new), V(updated), V(unchanged) or V(conflict).
      type: str
    message:
      description: A sentence for the log.
      type: str
"""
