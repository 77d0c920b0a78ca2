"""The documents say what the code says."""

import re
import subprocess
from pathlib import Path

import pytest

from api.actions import ACTIONS
from api.settings import Settings
from api.states import JobAction, NodeStatus, Role, WorkStatus
from docs.reference import DOCS, pages

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    REPOSITORY / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
)


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_made_from_the_code_is_what_the_code_makes_now(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run `make docs` and commit what it wrote"


@pytest.mark.parametrize("action", ACTIONS)
def test_action_has_a_section(action: str) -> None:
    assert f"\n## {action}\n" in (DOCS / "actions.md").read_text()


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_setting_is_explained(setting: str) -> None:
    assert f"`FIRSTBOX_{setting.upper()}`" in (DOCS / "configuration.md").read_text()


@pytest.mark.parametrize("word", [*NodeStatus, *WorkStatus, *Role, *JobAction])
def test_word_of_the_api_is_in_the_glossary(word: str) -> None:
    assert f"`{word}`" in (DOCS / "glossary.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_link_between_pages_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", page.read_text())
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_architecture_names_files_that_exist() -> None:
    names = re.findall(
        r"`([a-z_]+/[a-z_/]+\.(?:py|yml|cfg))`", (DOCS / "architecture.md").read_text()
    )

    assert names
    assert [name for name in names if not (REPOSITORY / name).exists()] == []
