"""The code location: every component of the defs folder, with the jobs, schedule and sensors around them."""

import warnings
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

import dagster as dg
from dagster.components.core.component_tree import ComponentTree

from engine.config.defs_file import ROOT, refuse_code
from engine.config.loader import COMPONENTS, defs_folder
from orchestration.jobs import stages

# Dagster warns of parts of its own that it uses itself; nobody here can do anything about them.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
# pandera imports PySpark where it is installed; the parts that it warns of are not used here.
warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)

DEFS_MODULE = "orchestration.defs"


@dg.definitions
def defs() -> dg.Definitions:
    """Load the components, and add the jobs, the schedule and the sensors.

    Raises SettingsError before Dagster renders any template that could run code.
    """
    refuse_code(defs_folder(), COMPONENTS)
    tree = ComponentTree.from_module(_defs_module(), ROOT)
    return dg.Definitions.merge(tree.build_defs(), stages())


def _defs_module() -> ModuleType:
    # The components may live outside of the package (BELVEDERE_DEFS), where no import finds them.
    spec = spec_from_loader(DEFS_MODULE, loader=None, is_package=True)
    if spec is None or spec.submodule_search_locations is None:  # pragma: no cover - never for a package
        raise ImportError(DEFS_MODULE)
    spec.submodule_search_locations.append(str(defs_folder()))
    return module_from_spec(spec)
