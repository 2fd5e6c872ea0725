"""``dpa-sse conductivity``: exit codes and plain words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.commands.conductivity import conductivity, production_runs


@pytest.fixture(scope="module")
def app():
    application = typer.Typer()
    application.command()(conductivity)
    return application


def call(app, *words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_numbers_end_with_zero(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=1200, n_li=16), tmp_path / "LPS_1000K.lammpstrj")
    result = call(app, path, "--timestep-fs", 2, "--out", tmp_path / "out", "--no-figures")
    assert result.exit_code == 0, result.output
    assert "diffusive, D = " in result.output
    assert (tmp_path / "out" / "conductivity.json").is_file()


def test_caged_ions_end_with_three(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=400, D=0.0), tmp_path / "LPS_1000K.lammpstrj")
    result = call(app, path, "--timestep-fs", 2, "--out", tmp_path / "out", "--no-figures", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["runs"][0]["verdict"] == "not diffusive (upper limit)"


def test_a_melt_ends_with_three_and_names_the_element(app, makers, tmp_path):
    sample = makers.sample(n_frames=300)
    phosphorus = [k for k, name in enumerate(sample.symbols) if name == "P"]
    steps = np.random.default_rng(1).standard_normal((300, len(phosphorus), 3))
    sample.positions[:, phosphorus] += 0.3 * np.cumsum(steps, axis=0)
    path = makers.text(sample, tmp_path / "LPS_1000K.lammpstrj")
    result = call(app, path, "--timestep-fs", 2, "--out", tmp_path / "out", "--no-figures")
    assert result.exit_code == 3
    assert "melted: the P sublattice diffuses" in result.output
    run = json.loads((tmp_path / "out" / "conductivity.json").read_text())["runs"][0]
    assert all(run[key] is None for key in ("D_cm2_s", "D_upper95_cm2_s", "sigma_NE_mS_cm", "sigma_collective_mS_cm"))


def test_bad_input_ends_with_two(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=60), tmp_path / "a.lammpstrj")
    result = call(app, path, "--temperature-K", 700, "--out", tmp_path / "out", "--no-figures")
    assert result.exit_code == 2
    assert "--timestep-fs" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--charge", "Li:1"], "SPECIES=CHARGE"), (["--at-K", "cold"], "not a list of numbers"),
        (["--cell", "1,2"], "6 numbers"),
        (["--hop-A", "-1"], "--hop-A -1.0"), (["--reference", "moon"], "--reference moon"),
        (["--mobile", ""], "--mobile"), (["--mobile", "Li,Li"], "more than once"), (["--charge", "li=1"], "no element"),
        (["--charge", "Li=0"], "carries no current"), (["--mobile", "Fe"], "the charge of Fe is not known"),
        (["--exponent", "nan"], "--exponent nan"), (["--compare", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_wrong_options_are_explained(app, makers, tmp_path, words, message):
    path = makers.text(makers.sample(n_frames=30), tmp_path / "a_700K.lammpstrj")
    result = call(app, path, "--out", tmp_path / "out", *words)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_a_run_folder_gives_its_production_runs(tmp_path):
    (tmp_path / "config.resolved.yaml").write_text("name: x\n")
    events = [{"event": "run-start", "stage": "", "task": "", "time": 0.0}]
    for name, event in (("md-000", "done"), ("md-001", "failed"), ("aimd-000", "done"), ("md-cells", "done")):
        folder = tmp_path / "tasks" / name
        folder.mkdir(parents=True)
        events.append({"event": event, "stage": "07-md", "task": name, "folder": f"tasks/{name}", "time": 1.0})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    assert [path.name for path in production_runs(tmp_path)] == ["md-000", "md-001"]
    assert production_runs(tmp_path / "tasks") == [tmp_path / "tasks"]
    (tmp_path / "log.jsonl").write_text(json.dumps(events[0]) + "\n")
    with pytest.raises(InputError, match="no production MD"):
        production_runs(tmp_path)
