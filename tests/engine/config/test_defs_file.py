"""Messages name a file of the defs folder as a user of the project would."""

from pathlib import Path

from engine.config.defs_file import ROOT, read_defs_file, short


def test_a_file_of_the_project_is_named_from_its_root(monkeypatch):
    path = ROOT / "orchestration" / "defs" / "hubspot" / "defs.yaml"
    monkeypatch.delenv("SANDBOX_URL", raising=False)
    settings = read_defs_file(path, ["orchestration.components.Connection"])["attributes"]["settings"]
    assert short(path) == "orchestration/defs/hubspot/defs.yaml"
    assert "orchestration/defs/hubspot/defs.yaml, line 7" in settings["base_url"]


def test_a_file_elsewhere_keeps_its_whole_path(tmp_path: Path):
    assert short(tmp_path / "crm" / "defs.yaml") == str(tmp_path / "crm" / "defs.yaml")
