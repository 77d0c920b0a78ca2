"""What preflight says of images' files, where they are and where they are not."""

from typing import Any

import pytest

from api.settings import Settings
from api.ssh.target import Refused
from tests.unit.roles.plugins import action_plugin


@pytest.fixture(scope="module")
def plugin() -> Any:
    """The role's action plugin."""
    return action_plugin("preflight")


def test_the_host_that_has_images_has_this_one_whole(plugin: Any, settings: Settings) -> None:
    settings.images.mkdir()

    with pytest.raises(Refused, match=r"image debian-12 lacks manifest\.json"):
        plugin._expect_files(settings, "debian-12", "image debian-12")


def test_a_host_that_only_runs_jobs_needs_no_images(plugin: Any, settings: Settings) -> None:
    plugin._expect_files(settings, "debian-12", "image debian-12")
