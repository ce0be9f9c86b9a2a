"""Read the defs folder: one `defs.yaml` for each component, checked by its model of settings."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connectors.kit.errors import SettingsError, choices
from connectors.kit.settings import explain, refuse_missing_env
from engine.config.base import Config
from engine.config.connection import ConnectionConfig
from engine.config.customer_model import CustomerModelConfig
from engine.config.defs_file import ROOT, read_defs_file, short
from engine.config.delivery import DeliveryConfig
from engine.config.table import TableConfig
from engine.config.warehouse import WarehouseConfig

COMPONENTS: Mapping[str, type[Config]] = {
    "orchestration.components.Connection": ConnectionConfig,
    "orchestration.components.CustomerModel": CustomerModelConfig,
    "orchestration.components.Delivery": DeliveryConfig,
    "orchestration.components.Table": TableConfig,
    "orchestration.components.Warehouse": WarehouseConfig,
}
# Attributes in which a variable that is not set stops only its own connection or warehouse, when that is used.
USED_LATER = {"Connection": "settings", "Warehouse": "url"}


def defs_folder() -> Path:
    """Return the folder of the components: BELVEDERE_DEFS, else the project's own."""
    return Path(os.environ.get("BELVEDERE_DEFS") or ROOT / "orchestration" / "defs").resolve()


def home_folder() -> Path:
    """Return the folder of all data, which only its owner may read.

    It is BELVEDERE_HOME, else `.belvedere` beside the code.
    """
    home = Path(os.environ.get("BELVEDERE_HOME") or ROOT / ".belvedere").resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def asset_prefix() -> list[str]:
    """The parts before every asset key in Dagster: BELVEDERE_ASSET_PREFIX, such as `crm/belvedere`; none by default.

    Raises SettingsError for a part that Dagster does not take.
    """
    prefix = os.environ.get("BELVEDERE_ASSET_PREFIX", "")
    if prefix and not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", prefix):
        raise SettingsError(f"BELVEDERE_ASSET_PREFIX: {prefix!r} is not of letters, digits, _ and -, parted by /")
    return prefix.split("/") if prefix else []


def read_components(defs: Path) -> Iterator[tuple[Path, str, Config]]:
    """Yield file, kind (such as `Connection`) and settings of each of our components.

    Components of others are skipped.

    Raises SettingsError that names the file and the setting.
    """
    for path in sorted(defs.glob("**/defs.yaml")):
        document = read_defs_file(path, COMPONENTS)
        kind = str(document.get("type", ""))
        if kind not in COMPONENTS:  # a component of the user's own, which Dagster loads
            if kind.startswith("orchestration."):
                raise SettingsError(f"{short(path)}: unknown type {kind!r}; {choices(kind, COMPONENTS)}")
            continue
        yield path, kind.rpartition(".")[2], _config(path, kind, document.get("attributes") or {})


def _config(path: Path, kind: str, attributes: Any) -> Config:
    later = USED_LATER.get(kind.rpartition(".")[2])
    for attribute, value in attributes.items() if isinstance(attributes, dict) else ():
        if attribute != later:
            refuse_missing_env(value, repr(path.parent.name), str(attribute))
    try:
        return COMPONENTS[kind].model_validate(attributes)
    except ValidationError as error:
        raise SettingsError(f"{short(path)}: {explain(error, COMPONENTS[kind])}") from None
