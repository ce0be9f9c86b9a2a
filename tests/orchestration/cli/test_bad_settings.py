"""What a person reads after a mistake: one line that names the thing and the choices, no traceback, no secret."""

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.kit.errors import AccessError, SettingsError
from engine.config.defs_file import read_defs_file
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.publish.publish import refresh
from orchestration.cli.main import main
from sandbox.server import Sandbox

GOOD = """
type: orchestration.components.Connection
attributes:
  connector: hubspot
  role: crm
  settings: {base_url: "URL/hubspot", token: "{{ env.CRM_TOKEN }}"}
"""


@pytest.fixture
def defs(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Begin with a project of one connection that works."""
    monkeypatch.setenv("BELVEDERE_DEFS", str(tmp_path))
    monkeypatch.setenv("BELVEDERE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRM_TOKEN", "sandbox-hubspot-token")
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm" / "defs.yaml").write_text(GOOD.replace("URL", sandbox.url))
    return tmp_path


def failure(defs: Path, capsys: pytest.CaptureFixture[str], *change: tuple[str, str], command: str = "check") -> str:
    path = defs / "crm" / "defs.yaml"
    text = path.read_text()
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    assert main([command]) == 1
    captured = capsys.readouterr()
    message = captured.err.strip()
    assert len(message.splitlines()) == 1, message
    assert "Traceback" not in message
    assert "sandbox-hubspot-token" not in message + captured.out
    return message


def test_what_works_says_so(defs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check"]) == 0
    assert "crm: works; account 12345678" in capsys.readouterr().out


def test_a_pattern_is_shown_in_its_own_case(defs: Path, capsys: pytest.CaptureFixture[str]):
    (defs / "model").mkdir()
    kind = "orchestration.components.CustomerModel"
    (defs / "model" / "defs.yaml").write_text(f"type: {kind}\nattributes: {{reporting_currency: euro}}\n")
    assert "'reporting_currency': string should match pattern '^[A-Z]{3}$'" in failure(defs, capsys)


def test_a_missing_secret_is_named(defs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CRM_TOKEN")
    message = failure(defs, capsys)
    file = defs / "crm" / "defs.yaml"
    assert f"environment variable CRM_TOKEN is not set (settings.token in {file}, line 6)" in message


def test_a_missing_variable_outside_of_the_settings_is_named(defs: Path, capsys: pytest.CaptureFixture[str]):
    message = failure(defs, capsys, ("role: crm", 'role: crm\n  max_delete_pct: "{{ env.PERCENT }}"'))
    assert f"variable PERCENT is not set (max_delete_pct in {defs}/crm/defs.yaml, line 6)" in message


def test_a_missing_variable_of_a_warehouse_stops_its_publication_alone(defs: Path, capsys: pytest.CaptureFixture[str]):
    (defs / "lake").mkdir()
    kind, url = "orchestration.components.Warehouse", "postgresql://{{ env.PG_HOST }}/x"
    (defs / "lake" / "defs.yaml").write_text(f'type: {kind}\nattributes: {{url: "{url}"}}\n')
    assert main(["check"]) == 0
    project = Project.load()
    with pytest.raises(AccessError, match=r"warehouse 'lake': .* PG_HOST is not set \(url in .*, line 2\)"):
        refresh(project, "lake", "run")


CODE = "{{ cycler.__init__.__globals__.os.popen('touch MARK').read() }}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ CRM_TOKEN }}", "line 6: {{ CRM_TOKEN }} is not evaluated; write {{ env.CRM_TOKEN }}"),
        (CODE, "line 6: this template is not evaluated; only {{ env.NAME }} is"),
        ("{{ env.CRM_TOKEN }}{{ 7 * 7 }}", "line 6: this template is not evaluated"),
        ("{{ env.CRM_TOKEN | upper }}", "line 6: this template is not evaluated"),
        ("{% if env.CRM_TOKEN %}x{% endif %}", "line 6: this template is not evaluated"),
        ("{# no comment #}", "line 6: this template is not evaluated"),
        ("{{ env.CRM_TOKEN", "line 6: this template is not evaluated"),
    ],
)
def test_no_other_template_is_evaluated(defs: Path, capsys: pytest.CaptureFixture[str], template: str, expected: str):
    mark = defs / "ran"
    template = template.replace("MARK", str(mark))
    assert expected in failure(defs, capsys, ("{{ env.CRM_TOKEN }}", template))
    assert not mark.exists()


def test_a_template_without_quotes_is_told_to_have_them(defs: Path, capsys: pytest.CaptureFixture[str]):
    message = failure(defs, capsys, ('"{{ env.CRM_TOKEN }}"', "{{ env.CRM_TOKEN }}"))
    assert 'line 6: not valid YAML: a mapping cannot be a key; a template must be quoted: "{{ env.NAME }}"' in message


@pytest.mark.parametrize("file", ["defs.yaml", "component.yaml"])
@pytest.mark.parametrize("kind", ["orchestration.components.Connection", "dagster.DefsFolderComponent"])
def test_dagster_renders_no_template_that_runs_code(defs: Path, file: str, kind: str):
    """Dagster renders `post_processing` by Jinja without a sandbox."""
    from orchestration.definitions import defs as definitions

    mark = defs / "ran"
    (defs / "other").mkdir()
    attributes = "{connector: hubspot, settings: {token: x}}" if "Connection" in kind else "{}"
    description = CODE.replace("MARK", str(mark))
    (defs / "other" / file).write_text(
        f"type: {kind}\nattributes: {attributes}\n"
        f'post_processing: {{assets: [{{target: "*", attributes: {{description: "{description}"}}}}]}}\n'
    )
    with pytest.raises(SettingsError, match=rf"other/{file}, line 3: this template is not evaluated"):
        definitions()
    assert not mark.exists()


def test_a_component_of_another_kind_may_name_what_dagster_offers(defs: Path):
    (defs / "other.yaml").write_text('type: x.Y\nattributes: {a: "{{ project_root }}/b", c: "{{ env.CRM_TOKEN }}"}\n')
    assert read_defs_file(defs / "other.yaml", ())["attributes"]["a"] == "{{ project_root }}/b"


def test_an_environment_variable_is_never_a_template_itself(defs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRM_TOKEN", "{{ 7 * 7 }}")
    assert Project.load().connections["crm"].settings["token"] == "{{ 7 * 7 }}"


def test_a_wrong_connector_is_named_with_the_nearest(defs: Path, capsys: pytest.CaptureFixture[str]):
    assert "unknown connector 'hubspt': did you mean hubspot?" in failure(
        defs, capsys, ("connector: hubspot", "connector: hubspt")
    )


def test_an_unknown_setting_is_named_with_the_nearest(defs: Path, capsys: pytest.CaptureFixture[str]):
    assert "unknown setting 'tokn'; did you mean token?" in failure(defs, capsys, ("token:", "tokn:"))


def test_an_unknown_attribute_is_named_with_its_file(defs: Path, capsys: pytest.CaptureFixture[str]):
    message = failure(defs, capsys, ("role: crm", "rolle: crm"))
    assert "crm/defs.yaml: unknown setting 'rolle'; did you mean role?" in message


@pytest.mark.parametrize("command", ["build", "publish", "backtest"])
def test_what_starts_a_run_says_it_as_plainly(defs: Path, capsys: pytest.CaptureFixture[str], command: str):
    message = failure(defs, capsys, ("role: crm", "rolle: crm"), command=command)
    assert "crm/defs.yaml: unknown setting 'rolle'; did you mean role?" in message


def test_an_unknown_field_of_ours_is_named_with_the_nearest(defs: Path, capsys: pytest.CaptureFixture[str]):
    fields = "role: crm\n  fields: {accounts: {tax_id: properties.vat_number, postl_code: properties.zip}}"
    assert "table 'accounts' has no field 'postl_code'; did you mean postal_code" in failure(
        defs, capsys, ("role: crm", fields)
    )


def test_an_unknown_field_of_theirs_is_named_with_the_nearest(defs: Path, capsys: pytest.CaptureFixture[str]):
    fields = "role: crm\n  fields: {accounts: {tax_id: properties.vat_nummer}}"
    message = failure(defs, capsys, ("role: crm", fields))
    assert "accounts have no field 'properties.vat_nummer', which fields.accounts maps" in message
    assert "did you mean properties.vat_number?" in message


def test_an_unknown_stream_is_named_with_the_nearest(defs: Path, capsys: pytest.CaptureFixture[str]):
    assert "no stream 'acounts'; did you mean accounts" in failure(
        defs, capsys, ("role: crm", "role: crm\n  streams: [acounts]")
    )


def test_an_unreachable_host_is_named(defs: Path, capsys: pytest.CaptureFixture[str], sandbox: Sandbox):
    message = failure(defs, capsys, (sandbox.url, "http://127.0.0.1:9"))
    assert "crm: cannot reach http://127.0.0.1:9 (connection refused); check settings.base_url" in message


def test_a_wrong_token_is_refused_and_not_shown(
    defs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CRM_TOKEN", "wrong-secret-value")
    message = failure(defs, capsys)
    assert "crm: the secret was refused (401" in message
    assert "wrong-secret-value" not in message


def test_broken_yaml_is_named_with_its_line(defs: Path, capsys: pytest.CaptureFixture[str]):
    assert "crm/defs.yaml, line" in failure(defs, capsys, ("connector: hubspot", "connector: [hubspot"))


def test_a_connection_that_is_not_there_is_named(defs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "crn"]) == 1
    assert "no connection 'crn': did you mean crm?" in capsys.readouterr().err


def test_wrong_usage_is_told_apart():
    with pytest.raises(SystemExit) as ended:
        main(["chekc"])
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["check", "state", "quarantine", "customer", "init"])
def test_commands_that_start_no_run_import_no_dagster(command: str):
    code = (
        "import sys; from orchestration.cli.main import _parser; import engine.config.project, engine.build.current_tables, pages.render; "
        f"sys.argv=['belvedere', {command!r}]; _parser(); "
        "sys.exit(any(name.split('.')[0] == 'dagster' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
