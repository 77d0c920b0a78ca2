"""Keeps what machines print apart from what the run itself says.

ansible-runner reads events out of the run's output, where text of a machine could imitate them. So
control characters are taken out of everything that is displayed, and every event carries a proof:
a word made for this run, in a file that no machine ever sees.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display

DOCUMENTATION = """
name: firstbox_guard
type: notification
short_description: Keeps machines' text from passing for events of the run
description:
  - Strips control characters from displayed text, and marks events with this run's proof.
  - Needs no settings; outside of the service it only strips.
author: Firstbox
"""

_KEPT = {ord("\n"): "\n", ord("\t"): "\t"}
_STRIPPED = dict.fromkeys((*range(32), *range(127, 160)), "?") | _KEPT
# What Ansible itself puts around hosts in its recap; nothing else of a terminal's language passes.
_COLOUR = re.compile("(\x1b\\[(?:0|[01];3[0-7])m)")
_RUNNER_CALLBACK = "ansible.plugins.callback.awx_display"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Works by being loaded; no event interests it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "firstbox_guard"

    def __init__(self) -> None:
        super().__init__()
        _strip_displayed_text(keep_colour="FIRSTBOX_PROOF_FILE" not in os.environ)
        proof_file, runner = (
            os.environ.get("FIRSTBOX_PROOF_FILE"),
            sys.modules.get(_RUNNER_CALLBACK),
        )
        if proof_file and runner:
            runner.event_context.add_global(firstbox_proof=Path(proof_file).read_text())


def _strip_displayed_text(*, keep_colour: bool) -> None:
    # ansible-runner wrapped this method before us and writes its markers past it.
    display = Display.display

    def display_stripped(self: Display, msg: Any, *args: Any, **kwargs: Any) -> Any:
        text = _stripped(str(msg)) if keep_colour else str(msg).translate(_STRIPPED)
        return display(self, text, *args, **kwargs)

    Display.display = display_stripped


def _stripped(text: str) -> str:
    parts = _COLOUR.split(text)  # text, colour, text, colour, ..., text
    parts[::2] = [part.translate(_STRIPPED) for part in parts[::2]]
    return "".join(parts)
