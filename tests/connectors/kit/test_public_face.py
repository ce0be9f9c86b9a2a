"""The public face of the kit: what authors import, and what an author of old reads."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import connectors.kit
import connectors.kit.testing
from connectors.kit import registry
from connectors.kit.errors import SettingsError


def test_every_name_is_that_of_its_module():
    for name, module in connectors.kit._MODULES.items():
        assert getattr(connectors.kit, name) is getattr(sys.modules[module], name)
    assert {*connectors.kit.__all__} == {*connectors.kit._MODULES} == {*dir(connectors.kit)}


def test_no_name_hides_a_module_of_the_kit():
    assert not {*connectors.kit.__all__} & {path.stem for path in registry.CONNECTORS_FOLDER.glob("kit/*")}


def test_a_name_that_is_not_offered_is_refused_with_the_choices():
    with pytest.raises(AttributeError, match="has no 'HttpConector'; it has .*HttpConnector"):
        connectors.kit.HttpConector  # noqa: B018
    with pytest.raises(ImportError, match="HttpConector"):
        from connectors.kit import HttpConector  # noqa: F401


def test_importing_one_name_imports_no_more_than_its_module_needs():
    code = "import sys; from connectors.kit import SettingsError; sys.exit('requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("line", ["from connectors.kit.auth import Bearer", "from connectors.kit.http import Http"])
def test_a_connector_that_imports_a_module_of_old_is_told_what_to_import(line, tmp_path, monkeypatch):
    (tmp_path / "old_acme.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "old_acme", raising=False)
    point = EntryPoint("acme", "old_acme", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])
    with pytest.raises(SettingsError, match=r"connector 'acme' \(old_acme\): .*`from connectors.kit import ...`"):
        registry.find_connector("acme")


def test_an_import_that_fails_for_another_reason_is_not_explained_away(tmp_path, monkeypatch):
    (tmp_path / "old_acme.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "old_acme", raising=False)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [EntryPoint("acme", "old_acme", registry.GROUP)])
    with pytest.raises(ImportError, match="no_such_package_at_all"):
        registry.find_connector("acme")
