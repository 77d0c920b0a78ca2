"""What the lab's mirror gives out, and what it does not."""

import os
from collections.abc import Iterator

import pytest

from tests.lab.mirror import Mirror
from tests.lab.segment import Segment

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

ADDRESS = "10.77.0.1"
PACKAGE = "pool/main/f/firstbox/firstbox_1.0+2~3_all.deb"


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    """A segment with a mirror that has one package already."""
    cache = tmp_path_factory.mktemp("cache")
    package = cache / "firstbox" / "mirror" / PACKAGE
    package.parent.mkdir(parents=True)
    package.write_text("a package")
    with pytest.MonkeyPatch.context() as patch, Segment(f"{ADDRESS}/24") as segment:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        with Mirror(segment, ADDRESS, cache):
            yield segment


def get(segment: Segment, path: str, *options: str) -> str:
    """Body and HTTP status of one request from the segment."""
    show = ("-s", "-w", " %{http_code}", "--path-as-is", "--max-time", "20")
    return segment.run("curl", *show, *options, f"http://{ADDRESS}:8080{path}").stdout


def test_a_package_is_given_out_under_both_spellings_of_its_name(segment: Segment) -> None:
    assert get(segment, f"/debian/{PACKAGE}") == "a package 200"
    assert get(segment, f"/debian/{PACKAGE}".replace("+", "%2b")) == "a package 200"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/debian/",
        "/debian-security/dists/stable/Release",
        "/debian/project/trace/master",
        "/debian/pool/../../etc/passwd",
        "/debian/pool/%2e%2e/%2e%2e/etc/passwd",
        "/debian/dists//etc/passwd",
    ],
)
def test_nothing_but_packages_and_lists_is_asked_for(segment: Segment, path: str) -> None:
    assert get(segment, path).endswith(" 403")


def test_nothing_is_sent(segment: Segment) -> None:
    assert get(segment, f"/debian/{PACKAGE}", "--data", "x").endswith(" 501")
