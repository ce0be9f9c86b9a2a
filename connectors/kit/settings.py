"""Load a connection's settings; an error is one line that names the setting and the choices."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from connectors.kit.base import Connector, ConnectorSettings
from connectors.kit.errors import AccessError, SettingsError, choices

_MISSING_ENV = re.compile("\0([^\0]*)\0([^\0]*)\0")

Model = TypeVar("Model", bound=BaseModel)


def load(kind: type[Connector], name: str, values: Mapping[str, Any]) -> ConnectorSettings:
    """Validate a connection's settings.

    Raises AccessError for an environment variable that is not set, SettingsError for any other mistake.
    """
    refuse_missing_env(values, f"connection {name!r}", "settings")
    try:
        return kind.Settings.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError(f"connection {name!r}: settings: {explain(error, kind.Settings)}") from None


def missing_env(variable: str, where: str) -> str:
    """Return the marker that replaces an unset environment variable; `where` is its file and line."""
    return f"\0{variable}\0{where}\0"


def refuse_missing_env(value: Any, owner: str, setting: str) -> None:
    """Raise AccessError that names the first unset environment variable, if there is one."""
    for path, text in _texts(value, setting):
        if missing := _MISSING_ENV.search(text):
            variable, where = missing.groups()
            raise AccessError(f"{owner}: environment variable {variable} is not set ({path} in {where})")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return pydantic's findings as one line, without the values, which may be secret."""
    return "; ".join(_sentence(dict(detail), model) for detail in error.errors(include_input=False, include_url=False))


def _sentence(detail: dict[str, Any], model: type[BaseModel]) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        parent = _model_at(model, detail["loc"][:-1])
        names = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
        return f"unknown setting {path!r}; {choices(str(detail['loc'][-1]), names)}"
    if detail["type"] == "missing":
        return f"{path!r} is missing"
    if detail["type"] == "value_error":  # raised by our own validators, whose text is complete
        return f"{path!r}: {detail['ctx']['error']}" if path else str(detail["ctx"]["error"])
    message = detail["msg"]
    # Lower only the first letter, and not an acronym's: the rest may be a pattern or a value.
    return f"{path!r}: {message if message[:2].isupper() else message[:1].lower() + message[1:]}"


def _model_at(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel] | None:
    inner: list[type[BaseModel]] = []
    for part in path:
        model = next((kind for kind in inner if len(inner) > 1 and _is_of(kind, part)), model)
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            continue  # a mapping key or a list index: the field above determines the model
        inner = [kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return None
        model = inner[0]
    return model


def _is_of(model: type[BaseModel], tag: Any) -> bool:
    """Return whether a discriminator value selects this model of a union."""
    field = model.model_fields.get("kind")
    return field is not None and tag in getattr(field.annotation, "__args__", ())


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _kinds(inner)


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{where}.{index}")
