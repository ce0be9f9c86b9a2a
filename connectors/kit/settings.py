"""A connection's settings, checked: what is wrong is said in one line that names the choices."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from connectors.kit.base import Connector, ConnectorSettings
from connectors.kit.errors import AccessError, SettingsError, choices

_MISSING_ENV = re.compile("\0([^\0]*)\0([^\0]*)\0")

Model = TypeVar("Model", bound=BaseModel)


def load(kind: type[Connector], name: str, attributes: Mapping[str, Any]) -> ConnectorSettings:
    """Check a connection's settings; raises AccessError for a secret that is not set, SettingsError else."""
    refuse_missing_env(attributes, f"connection {name!r}", "settings")
    try:
        return kind.Settings.model_validate(dict(attributes))
    except ValidationError as error:
        raise SettingsError(f"connection {name!r}: settings: {explain(error, kind.Settings)}") from None


def missing_env(variable: str, where: str) -> str:
    """Return what stands in a setting for an environment variable that is not set; `where` is its file and line."""
    return f"\0{variable}\0{where}\0"


def refuse_missing_env(value: Any, owner: str, setting: str) -> None:
    """Raise AccessError that names the first variable that is not set, if there is one."""
    for location, text in _texts(value, setting):
        if missing := _MISSING_ENV.search(text):
            variable, where = missing.groups()
            raise AccessError(f"{owner}: environment variable {variable} is not set ({location} in {where})")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what pydantic found, without the values, which may be secret."""
    return "; ".join(_explained(dict(found), model) for found in error.errors(include_input=False, include_url=False))


def _explained(error: dict[str, Any], model: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        parent = _model_at(model, error["loc"][:-1])
        choices_here = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
        return f"unknown setting {location!r}; {choices(str(error['loc'][-1]), choices_here)}"
    if error["type"] == "missing":
        return f"{location!r} is missing"
    if error["type"] == "value_error":  # our own validators, which name what they mean
        return f"{location!r}: {error['ctx']['error']}" if location else str(error["ctx"]["error"])
    message = error["msg"]
    # Only the first letter is lowered, and no acronym's: the rest may be a pattern or a value, where case matters.
    return f"{location!r}: {message if message[:2].isupper() else message[:1].lower() + message[1:]}"


def _model_at(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel] | None:
    inner: list[type[BaseModel]] = []
    for part in location:
        model = next((kind for kind in inner if len(inner) > 1 and _is_of(kind, part)), model)
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            continue  # a key of a mapping or an index: the model beneath is that of the field above
        inner = [kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return None
        model = inner[0]
    return model


def _is_of(model: type[BaseModel], tag: Any) -> bool:
    """Tell whether a tag of a union stands for a model of it."""
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
