"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: node_record
short_description: Write what node_probe found into the node database
description:
  - Reads C(<node>.json) per node and writes hardware, host name and host key, one transaction per
    node.
  - Of a machine that runs the ramdisk it writes the hardware of the bare machine, and what its
    registration leaves open; a serial number that another has is a conflict, and nothing is written.
  - The database is the one that C(FIRSTBOX_HOME) or C(FIRSTBOX_DATABASE_URL) names.
  - In check mode everything is tried and rolled back.
options:
  nodes:
    description: Node ids.
    type: list
    elements: str
    required: true
  src:
    description: Directory on the controller with the files.
    type: path
    required: true
  runs:
    description: What the machines ran when they were probed.
    type: str
    choices: [system, ramdisk]
    default: system
  failed:
    description: Nodes that failed in a step before; they are recorded, and nothing is said of it.
    type: list
    elements: str
    default: []
author: Firstbox
"""

EXAMPLES = """
- name: Write what was found
  node_record:
    nodes: "{{ ansible_play_hosts }}"
    src: /var/tmp/found
  run_once: true
"""

RETURN = """
results:
  description: One entry per node.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Node id.
      type: str
    ok:
      description: Whether the node is recorded.
      type: bool
    reason:
      description: Empty, or one of record_refused, scan_conflict.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""
