"""Action plugins of roles, as Ansible loads them: by their path."""

import importlib.util
from typing import Any

from tests.service import REPOSITORY


def action_plugin(role: str) -> Any:
    """The module of the action plugin that is named as its role."""
    path = REPOSITORY / "roles" / role / "action_plugins" / f"{role}.py"
    spec = importlib.util.spec_from_file_location(role, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
