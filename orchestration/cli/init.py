"""`belvedere init`: write the settings of a new project from answers to questions."""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestration.cli.exits import Exit

# Names become asset keys, folders and, in upper case, part of the names of environment variables.
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
ROLES = ("crm", "erp", "helpdesk", "other")


def init_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="folder to write to (default: BELVEDERE_DEFS, else orchestration/defs)",
    )


def init_command(args: argparse.Namespace, ask: Callable[[str], str] = input) -> Exit:
    """Ask for connections; write a folder for each, for a customer model and for a warehouse."""
    from engine.config.loader import defs_folder
    from orchestration.cli.output import print_line

    folder = args.folder or defs_folder()
    print_line(f"Writing to {folder}. Leave the name empty to finish; existing files are not overwritten.")
    written, secrets = [], []
    for name, document in _connections(ask):
        written += _write(folder, name, document)
        secrets += document["requirements"]["env"]
    for name in ("customer_model", "warehouse"):
        kind = "".join(part.title() for part in name.split("_"))
        written += _write(folder, name, {"type": f"orchestration.components.{kind}", "attributes": {}})
    for path in written:
        print_line(f"wrote {path}")
    if secrets:
        print_line(f"Next: set {', '.join(secrets)} in the environment, then run belvedere check")
    return Exit.DONE


def _connections(ask: Callable[[str], str]) -> Iterator[tuple[str, dict[str, Any]]]:
    from connectors.kit.registry import find_connector, installed_connectors

    while name := _answer(
        ask,
        "Connection name",
        check=NAME.fullmatch,
        hint="use lower-case letters, digits and _, beginning with a letter",
    ):
        connector_names = tuple(installed_connectors())
        connector = _answer(
            ask,
            f"Connector ({', '.join(connector_names)})",
            check=connector_names.__contains__,
            hint="choose one of these",
        )
        role = _answer(
            ask,
            f"Role in the company ({', '.join(ROLES)})",
            check=ROLES.__contains__,
            hint="choose one of these",
        )
        settings, secrets = {}, []
        kind = find_connector(connector).Settings
        for setting, field in kind.model_fields.items():
            if not field.is_required() and setting not in kind.asked_by_init:
                continue
            if "SecretStr" in str(field.annotation):
                secrets.append(f"{name}_{setting}".upper())
                settings[setting] = "{{ env." + secrets[-1] + " }}"
            else:
                settings[setting] = _answer(
                    ask, f"Setting {setting.replace('_', ' ')}", check=bool, hint="a value is required"
                )
        yield (
            name,
            {
                "type": "orchestration.components.Connection",
                "attributes": {"connector": connector, "role": role, "settings": settings},
                "requirements": {"env": secrets},
            },
        )


def _answer(ask: Callable[[str], str], question: str, check: Callable[[str], Any], hint: str) -> str:
    while answer := ask(f"{question}: ").strip():
        if check(answer):
            return answer
        question = f"{answer!r} is not valid: {hint}. {question.rsplit('. ', maxsplit=1)[-1]}"
    return ""


def _write(folder: Path, name: str, document: dict[str, Any]) -> list[Path]:
    import yaml

    path = folder / name / "defs.yaml"
    if path.exists():
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    return [path]
