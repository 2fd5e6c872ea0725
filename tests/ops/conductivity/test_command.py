"""``dpa-sse conductivity``: exit codes and plain words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.commands.conductivity import conductivity, production_runs, self_check_lines
from tests.self_checks import not_trusted


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
        (["--charge", "Li:1"], "SPECIES=CHARGE"), (["--extrapolate-to-K", "cold"], "not a list of numbers"),
        (["--cell", "1,2"], "6 numbers"),
        (["--hop-distance-A", "-1"], "--hop-distance-A -1.0"), (["--reference", "moon"], "--reference moon"),
        (["--mobile", ""], "--mobile"), (["--mobile", "Li,Li"], "--mobile Li,Li"),
        (["--charge", "li=1"], "'li' is not an element"),
        (["--charge", "Li=0"], "carries no current"), (["--mobile", "Fe"], "the charge of Fe is unknown"),
        (["--arrhenius-exponent", "nan"], "--arrhenius-exponent nan"),
        (["--compare", "nowhere.csv"], "nowhere.csv: no such file"),
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
        if name.startswith("md-0"):
            (folder / "run.json").write_text("{}")
        events.append({"event": event, "stage": "07-md", "task": name, "folder": f"tasks/{name}", "time": 1.0})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    assert [path.name for path in production_runs(tmp_path)] == ["md-000", "md-001"]
    assert production_runs(tmp_path / "tasks") == [tmp_path / "tasks"]
    (tmp_path / "log.jsonl").write_text(json.dumps(events[0]) + "\n")
    with pytest.raises(InputError, match="no production MD"):
        production_runs(tmp_path)


def test_the_self_check_of_a_run_folder_is_said(tmp_path):
    (tmp_path / "config.resolved.yaml").write_text("name: x\n")
    assert list(self_check_lines(tmp_path)) == [f"{tmp_path}: its production was not compared with the labeler"]
    assert list(self_check_lines(tmp_path / "tasks")) == []
    not_trusted("Li2S", "energy error -9 meV/atom").write(tmp_path / "tasks" / "check")
    event = {"event": "done", "stage": "07", "task": "self-check-i000", "folder": "tasks/check", "time": 1.0}
    (tmp_path / "log.jsonl").write_text(json.dumps(event) + "\n")
    assert list(self_check_lines(tmp_path)) == [
        f"{tmp_path}: self-check of Li2S in its production runs: not trusted (energy error -9 meV/atom)"
    ]


@pytest.mark.parametrize("option", [700, 640])
def test_a_temperature_that_the_name_contradicts_is_refused(app, makers, tmp_path, option):
    paths = [
        makers.text(makers.sample(n_frames=60, seed=T), tmp_path / f"run_{T}K.lammpstrj") for T in (600, 700, 800)
    ]
    result = call(app, *paths, "--timestep-fs", 2, "--temperature-K", option, "--out", tmp_path / "out", "--no-figures")
    assert isinstance(result.exception, InputError)
    assert f"--temperature-K {option}: run_600K.lammpstrj says 600 K" in str(result.exception)
    assert not list(tmp_path.glob("out/*.json"))


def test_a_temperature_that_agrees_with_the_name_is_used(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=60), tmp_path / "run_300K_298K.lammpstrj")
    call(app, path, "--timestep-fs", 2, "--temperature-K", 298.15, "--out", tmp_path / "out", "--no-figures")
    run = json.loads((tmp_path / "out" / "conductivity.json").read_text())["runs"][0]
    assert run["temperature_K"] == 298.15


def test_a_missing_option_says_nothing_about_the_run(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=60), tmp_path / "a_700K.lammpstrj")
    result = call(app, path, "--out", tmp_path / "out", "--no-figures")
    assert result.exit_code == 2
    assert "not analysed: the time between frames is unknown" in result.output
    assert "unreliable" not in result.output


def test_files_of_an_earlier_analysis_do_not_stay(app, makers, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for name in ("first_900K", "second_1000K"):
        path = makers.text(makers.sample(n_frames=600, n_li=16), tmp_path / f"{name}.lammpstrj")
        assert call(app, path, "--timestep-fs", 2, "--out", out).exit_code in (0, 3)
        files = [*out.glob("msd_*"), *out.glob("figures/m*_*"), *out.glob("figures/health_*")]
        assert len(files) > 5
        assert all(name in one.name for one in files)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "figures" / "arrhenius.svg").is_file()


def test_measured_values_that_meet_nothing_are_named(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=600, n_li=16), tmp_path / "a_900K.lammpstrj")
    table = tmp_path / "m.csv"
    table.write_text("system,sigma_mS_cm\nLGPS,12\n")
    words = (path, "--timestep-fs", 2, "--out", tmp_path / "out", "--no-figures", "--compare", table)
    assert "compared with nothing: LGPS (calculated: system; --system names" in call(app, *words).output
    for text, message in (
        ("system,T,sigma\nsystem,300,12\n", "unknown column `T`; unknown column `sigma` - did you mean"),
        ("name\nx\n", "no column `system`; unknown column `name`"),
        ("system,x\nsystem,0.5\n", "no column with a value to compare"),
        ("system,sigma_mS_cm\nsystem,\n", "no row has a value"),
    ):
        table.write_text(text)
        found = call(app, *words).exception
        assert isinstance(found, InputError)
        assert message in str(found)


def test_an_ion_is_named_by_its_element(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=30), tmp_path / "a_700K.lammpstrj")
    result = call(app, path, "--out", tmp_path / "out", "--mobile", "Li+")
    assert str(result.exception).startswith("--mobile Li+: write the element, Li")


def test_another_charge_than_the_formal_one_is_remarked_on(app, makers, tmp_path):
    path = makers.text(makers.sample(n_frames=60), tmp_path / "a_700K.lammpstrj")
    result = call(app, path, "--timestep-fs", 2, "--out", tmp_path / "out", "--no-figures", "--charge", "Li=3")
    assert "--charge Li: +3 e, but the formal charge of Li is +1 e; conductivities are 9 times" in result.output
