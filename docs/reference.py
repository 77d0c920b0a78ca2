"""The pages that are made from the code: `make docs` writes them, a test compares them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from api.actions import ACTIONS, Action
from api.actions.envelope import ActionRequest, ActionResponse
from api.errors import FirstboxError
from api.figures import FIGURES
from api.settings import Settings, SshAccess
from api.states import ADVICE, Reason

DOCS = Path(__file__).parent
_WORDS = {"string": "text", "boolean": "true or false"}


def pages() -> dict[str, str]:
    """File name in docs/ -> its text."""
    return {
        "actions.md": actions_page(),
        "configuration.md": configuration_page(),
        "metrics.md": metrics_page(),
        "reasons.md": reasons_page(),
    }


def actions_page() -> str:
    """Every action with its parameters, its answer, and who may ask for it."""
    common = list(ActionRequest.model_fields)
    parts = [
        "# Actions",
        "Made by `make docs` from `api/actions/`. `POST /api` takes one JSON object whose `action` "
        "names the action; `POST /api/<Action>` takes the same. A service that runs shows the same "
        "at `/docs`, to be tried there.",
        "## What all actions have in common",
        _table(ActionRequest, common),
        "What a request is about may be told by `request_type`: `Node`, `BMNode`, `User`, `Webhook` or "
        "`Audit`. Where it is given it must fit. In place of `USER_ID` and `PASSWORD`, a header "
        "`Authorization: Bearer <token>` says who is calling.",
        "The answer is an object, too. With `ret_code` 0 the action was done:",
        _table(ActionResponse, list(ActionResponse.model_fields)),
        "With any other, nothing was changed:",
        _ret_codes(),
        "| Role | may |\n|---|---|\n| `viewer` | look: Describe*, Get* |\n"
        "| `operator` | do all on nodes and jobs, too |\n| `admin` | do all on users and webhooks, see the audit and BMC passwords, too |",
    ]
    parts += [_action(action) for action in ACTIONS.values()]
    return "\n\n".join(parts) + "\n"


def _action(action: Action) -> str:
    own = [name for name in action.request.model_fields if name not in ActionRequest.model_fields]
    answer = [
        name for name in action.response.model_fields if name not in ActionResponse.model_fields
    ]
    return "\n\n".join(
        [
            f"## {action.name}",
            f"{_sentence(action.handler.__doc__)} Least role: `{action.role}`.",
            f"Request: {_lower(_sentence(action.request.__doc__))}",
            _table(action.request, own),
            f"Answer: {_lower(_sentence(action.response.__doc__))}",
            _table(action.response, answer, with_default=False) if answer else "No further fields.",
        ]
    )


def configuration_page() -> str:
    """Every setting, what it is for, and what it is when nobody sets it."""
    rows = [
        (f"`FIRSTBOX_{name.upper()}`", _default(name, field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    zone = [
        (f"`{name}`", field.description or "") for name, field in SshAccess.model_fields.items()
    ]
    return (
        "\n\n".join(
            [
                "# Configuration",
                "Made by `make docs` from `api/settings.py`. A setting is an environment variable, or a "
                "line of the same form in `$FIRSTBOX_HOME/firstbox.env`; the environment wins. "
                "`FIRSTBOX_HOME` itself is read from the environment only. `firstbox settings` shows "
                "what holds now. A value that makes no sense is refused at start, in one sentence.",
                _rows(("setting", "default", "what it is"), rows),
                "## One zone of `FIRSTBOX_ZONES`",
                _rows(("key", "what it is"), zone),
            ]
        )
        + "\n"
    )


def metrics_page() -> str:
    """Every metric of ours that `/metrics` shows."""
    rows = [
        (
            f"`{figure.name}`",
            figure.kind,
            ", ".join(f"`{one}`" for one in figure.labels),
            figure.text,
        )
        for figure in FIGURES
    ]
    return (
        "\n\n".join(
            [
                "# Metrics",
                "Made by `make docs` from `api/figures.py`. `GET /metrics` shows these, and what the "
                "process itself takes (`process_*`). [Observability](observability.md) tells how to "
                "read them.",
                _rows(("metric", "kind", "labels", "what it is"), rows),
            ]
        )
        + "\n"
    )


def reasons_page() -> str:
    """Every reason a job, step or node can fail for, and what to do about it."""
    return (
        "\n\n".join(
            [
                "# Reasons of failure",
                "Made by `make docs` from `api/states.py`. `GetStatus` gives the `reason` of a job and of "
                "each of its nodes, with the same advice; the log says it in sentences.",
                _rows(("reason", "what to do"), [(f"`{why}`", ADVICE[why]) for why in Reason]),
            ]
        )
        + "\n"
    )


def _default(name: str, field: FieldInfo) -> str:
    if name == "content":
        return "where the code is"  # differs from machine to machine
    value = Settings.model_construct().model_dump(mode="json")[name]
    if value in ("", None, {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _table(model: type[BaseModel], names: list[str], *, with_default: bool = True) -> str:
    properties = model.model_json_schema()["properties"]
    head = ("field", "type", "default", "what it is") if with_default else ("field", "type", "")
    rows = []
    for name in names:
        field = model.model_fields[name]
        default = ("required" if field.is_required() else _json(field.default),)
        text = field.description or ""
        rows.append(
            (f"`{name}`", _type(properties[name]), *(default if with_default else ()), text)
        )
    return _rows(head, rows)


def _json(value: Any) -> str:
    return "" if value in (None, PydanticUndefined) else f"`{json.dumps(value)}`"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "$ref" in schema:
        return "object"
    word = schema.get("type", "any")
    return f"{_WORDS.get(word, word)}{_limits(schema)}"


def _limits(schema: dict[str, Any]) -> str:
    limits = []
    if "pattern" in schema:
        limits.append(f"`{schema['pattern']}`")
    if "maxLength" in schema:
        limits.append(f"at most {schema['maxLength']} characters")
    if "minimum" in schema:
        limits.append(f"from {schema['minimum']}")
    if "maximum" in schema:
        limits.append(f"to {schema['maximum']}")
    return f" ({', '.join(limits)})" if limits else ""


def _ret_codes() -> str:
    errors = sorted(FirstboxError.__subclasses__(), key=lambda error: error.ret_code)
    rows = [(str(error.ret_code), _sentence(error.__doc__)) for error in errors]
    return _rows(("`ret_code`", "meaning"), [("0", "done"), *rows])


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
