"""Read the YAML files of the defs folder as data, without evaluating their templates.

Only `{{ env.NAME }}` is replaced; any other template is refused.
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from connectors.kit.errors import SettingsError
from connectors.kit.settings import missing_env

ROOT = Path(__file__).resolve().parents[2]
ENV = re.compile(r"\{\{\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}", re.ASCII)
NAMES = re.compile(r"\{\{\s*[A-Za-z]\w*(\.[A-Za-z]\w*)*\s*\}\}", re.ASCII)
BEGINS = re.compile(r"\{[{%#]")
WITHOUT_ENV = re.compile(r"\{\{\s*([A-Z][A-Z0-9_]*)\s*\}\}")


def read_defs_file(path: Path, ours: Collection[str]) -> dict[str, Any]:
    """Return the document of a file with its environment variables filled in.

    A variable that is not set becomes `missing_env`. Raises SettingsError, with file and line, for
    a file that is not YAML and for any other template. Components that are not `ours` are rendered
    by Dagster, by Jinja without a sandbox: they may name what Dagster offers them (`{{ project_root
    }}`), and cannot call anything.
    """
    file = short(path)
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
        allowed = ENV if _type(node) in ours else NAMES
        for scalar in _scalars(node, set()):
            _refuse_templates(scalar.value, allowed, f"{file}, line {scalar.start_mark.line + 1}")
        document = _construct(path, file)
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}{_line(error)}: not valid YAML: {_problem(error)}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{file}: expected `type:` and `attributes:`")
    return document


def refuse_code(defs: Path, ours: Collection[str]) -> None:
    """Raise SettingsError for a component of Dagster with a template that could run code.

    Dagster renders `post_processing` of every component, ours too, and also reads `component.yaml`.
    """
    for folder, _, files in os.walk(defs, followlinks=True):
        for file in {"defs.yaml", "component.yaml"}.intersection(files):
            read_defs_file(Path(folder, file), ours)


def line_of(path: Path, *place: str | int) -> int:
    """The line of a setting in a file: of keys and indexes from the top, as far as they are there."""
    node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                break
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def short(path: Path) -> str:
    """Return the path of a file from the project's folder on, where it lies in there."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _type(node: yaml.Node | None) -> str:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((str(value.value) for key, value in pairs if key.value == "type"), "")


def _scalars(node: yaml.Node | None, visited: set[int]) -> Iterator[yaml.ScalarNode]:
    """Yield keys and values; the node of an alias is yielded once, and may contain itself."""
    if node is None or id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
        return
    for part in node.value:
        for inner in part if isinstance(part, tuple) else (part,):
            yield from _scalars(inner, visited)


def _refuse_templates(text: str, allowed: re.Pattern[str], where: str) -> None:
    if not BEGINS.search(allowed.sub(" ", text)):
        return
    if without_env := WITHOUT_ENV.search(text):  # anything else may be a secret, and is not repeated
        template, name = without_env[0], without_env[1]
        raise SettingsError(f"{where}: {template} is not evaluated; write {{{{ env.{name} }}}}")
    raise SettingsError(
        f"{where}: this template is not evaluated; only {{{{ env.NAME }}}} is, the environment variable NAME"
    )


class _Loader(yaml.SafeLoader):
    """A loader that fills in environment variables; only a text's node knows its line."""

    file = ""

    def text(self, node: yaml.ScalarNode) -> str:
        """Construct one text, its environment variables filled in."""
        where = f"{self.file}, line {node.start_mark.line + 1}"
        return ENV.sub(lambda match: os.environ.get(match[1]) or missing_env(match[1], where), node.value)


_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.text)


def _construct(path: Path, file: str) -> Any:
    loader = _Loader(path.read_text("utf-8"))
    loader.file = file
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _problem(error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or error)
    if problem == "found unhashable key":
        return 'a mapping cannot be a key; a template must be quoted: "{{ env.NAME }}"'
    return problem
