"""The whole step: folders in, documented files out, nothing invented, nothing that differs from run to run."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from dpa_sse.ops.conductivity.analyse import analyse
from dpa_sse.ops.conductivity.arrhenius import KB_EV
from dpa_sse.ops.conductivity.figures.run import local_exponent
from dpa_sse.ops.conductivity.nernst_einstein import charge_of, nernst_einstein
from dpa_sse.ops.conductivity.output import write_analysis
from dpa_sse.ops.conductivity.readers.points_table import read_measured
from dpa_sse.ops.conductivity.readers.sources import find_sources, temperatures_in
from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.conductivity.terminal import result_lines
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.conductivity import ArrheniusResult, ConductivityResult, RunTransport
from tests.md_runs import md_run

PLAIN = ConductivitySettings(figures=False)


def analysed(sources, settings, out, options=None, compare=None):
    """Analyse, write, and return what the file holds."""
    measured = read_measured(compare) if compare else []
    write_analysis(analyse(sources, settings, options), settings, out, measured)
    return ConductivityResult.read(out)


def D_true(T):
    return 0.1 * np.exp(-0.25 / KB_EV * (1 / T - 1 / 1000))


@pytest.fixture(scope="module")
def campaign(makers, tmp_path_factory):
    """Four temperatures, two replicas, one caged, one exploded, one that never ran, one with nothing to do."""
    root = tmp_path_factory.mktemp("md")
    for T in (800, 1000, 1200):
        for replica in range(2):
            sample = makers.sample(n_frames=1200, n_li=16, D=D_true(T), seed=T + replica)
            makers.md_folder(sample, root / f"task.{T}{replica}", T, replica)
    makers.md_folder(makers.sample(n_frames=400, n_li=16, D=0.0), root / "task.400", 400)
    exploded = root / "task.900"
    exploded.mkdir()
    md_run(system="LPS", temperature_K=900.0, status="exploded", reason="6000 K at 9 ps").write(exploded)
    failed = root / "task.901"
    failed.mkdir()
    (failed / "status.json").write_text(json.dumps({"status": "failed", "reason": "node lost"}))
    empty = root / "task.902"
    empty.mkdir()
    (empty / "status.json").write_text(json.dumps({"status": "empty", "reason": ""}))
    return root


@pytest.fixture(scope="module")
def result(campaign, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, analysed([campaign], PLAIN, out)


def test_numbers_are_right(result):
    _, content = result
    assert {entry.temperature_K for entry in content.temperatures} == {400, 800, 900, 1000, 1200}
    for entry in content.temperatures:
        if entry.temperature_K in (800, 1000, 1200):
            low, high = entry.D_ci95_cm2_s
            assert low < D_true(entry.temperature_K) * 1e-4 < high
            expected = nernst_einstein(entry.D_cm2_s, 16, 1.0, 2730.0, entry.temperature_K)
            assert entry.sigma_NE_mS_cm == pytest.approx(expected)
            assert entry.n_runs == 2
    line = content.arrhenius
    low, high = line.Ea_ci95_eV
    assert low < 0.25 < high
    assert line.points_used == (800, 1000, 1200)
    assert line.points_refused == (400, 900)
    low, high = line.at(300.0).D_ci95_cm2_s
    assert low < D_true(300) * 1e-4 < high


def test_every_declared_key_is_written(result):
    out, content = result
    written = json.loads((out / "conductivity.json").read_text())
    assert written["format_version"] == 1
    assert set(written) == set(ConductivityResult.model_fields)
    assert all(set(run) == set(RunTransport.model_fields) for run in written["runs"])
    assert set(written["arrhenius"]) == set(ArrheniusResult.model_fields)
    verdicts = {run.source: run.verdict for run in content.runs}
    assert verdicts["LPS_1000K_0"] == "diffusive"
    assert verdicts["LPS_400K_0"] == "not diffusive (upper limit)"
    assert verdicts["LPS_900K_0"] == "unreliable: exploded"
    assert verdicts["task.901"] == "unreliable: failed"
    assert len(verdicts) == 9


def test_refused_runs_have_no_numbers(result):
    _, content = result
    for run in content.runs:
        if run.verdict != "diffusive":
            for name in ("D_cm2_s", "sigma_NE_mS_cm", "sigma_collective_mS_cm", "haven_ratio"):
                assert getattr(run, name) is None
    caged = next(run for run in content.runs if run.temperature_K == 400)
    assert caged.D_upper95_cm2_s > 0
    exploded = next(run for run in content.runs if run.temperature_K == 900)
    assert exploded.D_upper95_cm2_s is None
    assert "6000 K" in exploded.reasons[0]


def test_files_next_to_the_json(result):
    out, content = result
    text = (out / "conductivity.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert str(out) not in text
    assert ConductivityResult.model_validate_json(text) == content
    with (out / "arrhenius.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["temperature_K"]) for row in rows] == [400, 800, 900, 1000, 1200]
    assert [row["fitted"] for row in rows] == ["False", "True", "False", "True", "True"]
    with (out / "msd_LPS_1000K_0.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["time_ps"]) == pytest.approx(0.1)
    assert float(rows[-1]["time_ps"]) == pytest.approx(60.0)
    assert (float(rows[0]["n_origins"]), float(rows[-1]["n_origins"])) == (1199, 600)
    xyz = sum(float(rows[5][f"msd_Li_{axis}_A2"]) for axis in "xyz")
    assert xyz == pytest.approx(float(rows[5]["msd_Li_A2"]), rel=1e-6)
    assert json.loads((out / "status.json").read_text())["status"] == "ok"
    with (out / "conductivity.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 9 + 5


def test_two_runs_give_the_same_bytes(campaign, result, tmp_path):
    out, _ = result
    analysed([campaign], PLAIN, tmp_path / "again")
    for path in sorted(out.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_lines_for_the_terminal(result):
    _, content = result
    text = "\n".join(result_lines(content))
    assert "LPS 1000 K: diffusive, D = " in text
    assert "LPS 400 K: not diffusive (upper limit), D < " in text
    assert "LPS: Ea = " in text
    assert "sigma(300 K) = " in text
    assert "extrapolated" in text
    assert content.has_values


def test_figures_are_written_and_reproducible(campaign, tmp_path):
    folder = campaign / "task.10000"
    settings = ConductivitySettings()
    for name in ("a", "b"):
        analysed([folder], settings, tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a" / "figures").iterdir())
    kinds = ("density", "framework", "jumps", "net", "non_gaussian", "van_hove")
    tables = [f"motion_LPS_1000K_0_{name}.csv" for name in kinds]
    assert names == sorted([
        "arrhenius.png", "arrhenius.svg", "motion_LPS_1000K_0.png", "motion_LPS_1000K_0.svg", "msd_LPS_1000K_0.png",
        "msd_LPS_1000K_0.svg", "replicas.png", "replicas.svg", *tables,
    ])
    with (tmp_path / "a/figures/motion_LPS_1000K_0_van_hove.csv").open() as stream:
        first = [row for row in csv.DictReader(stream) if row["part"] == "self" and row["time_ps"] == "0.1"]
    assert sum(float(row["value"]) for row in first) * 0.1 == pytest.approx(1.0, abs=0.01)
    for name in names:
        assert (tmp_path / "a/figures" / name).read_bytes() == (tmp_path / "b/figures" / name).read_bytes()
    assert "D (cm" in (tmp_path / "a/figures/arrhenius.svg").read_text()


def test_several_systems_have_a_line_each(makers, campaign, tmp_path):
    other = makers.md_folder(makers.sample(n_frames=1200, n_li=16), tmp_path / "md", 1000.0, system="other")
    content = analysed([campaign / "task.10000", campaign / "task.12000", other], PLAIN, tmp_path / "out")
    assert set(content.arrhenius_by_system) == {"LPS", "other"}
    assert content.arrhenius.Ea_eV is None
    assert content.arrhenius_by_system["LPS"].Ea_eV is not None
    assert content.arrhenius_by_system["other"].Ea_eV is None


def test_charge_and_several_species(makers, tmp_path):
    folder = makers.md_folder(makers.sample(n_frames=1500, n_li=40, D=0.2), tmp_path / "md", 1000.0)
    single = analysed([folder], PLAIN, tmp_path / "a").runs[0]
    twice = ConductivitySettings(charges={"Li": 2.0}, figures=False)
    double = analysed([folder], twice, tmp_path / "b").runs[0]
    assert double.D_cm2_s == single.D_cm2_s
    assert double.sigma_NE_mS_cm == pytest.approx(4 * single.sigma_NE_mS_cm)
    text = (folder / "traj.lammpstrj").read_text()
    for index in range(21, 41):
        text = text.replace(f"\n{index} Li ", f"\n{index} Na ")
    (folder / "traj.lammpstrj").write_text(text)
    settings = ConductivitySettings(mobile=["Li", "Na"], charges={"Li": 1.0, "Na": 1.0}, figures=False)
    both = analysed([folder], settings, tmp_path / "c").runs[0]
    assert set(both.species) == {"Li", "Na"}
    parts = [nernst_einstein(s.D_cm2_s, 20, 1.0, 2730.0, 1000.0) for s in both.species.values()]
    assert both.sigma_NE_mS_cm == pytest.approx(sum(parts))
    assert both.sigma_NE_mS_cm == pytest.approx(single.sigma_NE_mS_cm, rel=0.3)


def test_onsager_terms_add_up(makers, tmp_path):
    from dpa_sse.ops.conductivity.synthetic import HopModel

    model = HopModel(n_ions=16, n_frames=4000, cage_A=0.2)
    folder = makers.md_folder(makers.sample(model=model), tmp_path / "md", 1000.0)
    text = (folder / "traj.lammpstrj").read_text()
    for index in range(9, 17):
        text = text.replace(f"\n{index} Li ", f"\n{index} Na ")
    (folder / "traj.lammpstrj").write_text(text)
    settings = ConductivitySettings(mobile=["Li", "Na"], charges={"Li": 1.0, "Na": 1.0}, figures=False)
    run = analysed([folder], settings, tmp_path / "c").runs[0]
    assert set(run.onsager_mS_cm) == {"Li-Li", "Li-Na", "Na-Na"}
    assert sum(run.onsager_mS_cm.values()) == pytest.approx(run.sigma_collective_mS_cm, rel=1e-6)
    low, high = run.haven_ci95
    assert low < 0.5 < high


def test_a_damaged_file_is_listed_not_raised(makers, campaign, tmp_path):
    bad = tmp_path / "bad_700K.lammpstrj"
    bad.write_text("ITEM: TIMESTEP\n0\n")
    content = analysed([bad, campaign / "task.10000"], PLAIN, tmp_path / "out")
    verdicts = [run.verdict for run in content.runs]
    assert verdicts[0].startswith("unreliable: no complete frame")
    assert verdicts[1] == "diffusive"


def test_sources_that_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        find_sources([tmp_path / "none"], SourceOptions())
    with pytest.raises(InputError, match="no trajectory in this folder"):
        find_sources([tmp_path], SourceOptions())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("LGPS_700K_1.dcd", [700]), ("T700", [700]), ("T_650", [650]), ("300K", [300]), ("run-1200.5K.xyz", [1200.5]),
     ("Li10GeP2S12", []), ("a_K700", []), ("5K", []), ("x_800K", [800]), ("800 K", [800]), ("LPS_T01", []), ("T7", []),
     ("traj_100K.dump", []), ("traj_700K.dump", [700]), ("ramp_300K-600K", [300, 600]), ("a_700K.xyz.gz", [700])],
)
def test_temperatures_in_names(name, expected):
    assert temperatures_in(name) == expected


def test_a_run_without_a_temperature_takes_no_other_along(makers, tmp_path):
    for name in ("ramp_300K-600K", "unknown", "good_700K"):
        makers.text(makers.sample(n_frames=60), tmp_path / f"{name}.lammpstrj")
    paths = [tmp_path / f"{name}.lammpstrj" for name in ("ramp_300K-600K", "unknown", "good_700K")]
    runs = analysed(paths, PLAIN, tmp_path / "out", options=SourceOptions(timestep_fs=2.0)).runs
    assert "several temperatures in the name (300, 600 K)" in runs[0].verdict
    assert "--temperature-K" in runs[1].verdict
    assert [run.bad_input for run in runs] == [True, True, False]


def test_folder_of_temperatures_and_replicas(makers, tmp_path):
    for T in (700, 900):
        for replica in (1, 2):
            folder = tmp_path / f"{T}K" / f"r{replica}"
            folder.mkdir(parents=True)
            makers.text(makers.sample(n_frames=60), folder / f"traj_{T}K.lammpstrj")
    sources = find_sources([tmp_path], SourceOptions(timestep_fs=2.0, system="X"))
    assert [source.temperature_K for source in sources] == [700, 700, 900, 900]
    assert len({source.label for source in sources}) == 4


def test_mean_temperature_off_target_is_noted(makers, tmp_path):
    folder = makers.md_folder(makers.sample(n_frames=300), tmp_path / "md", 1000.0)
    rows = "".join(f"{k},{k * 0.1},1100\n" for k in range(50))
    (folder / "thermo.csv").write_text(f"step,time_ps,temperature_K\n{rows}")
    run = analysed([folder], PLAIN, tmp_path / "out").runs[0]
    assert any("mean temperature was 1100 K" in reason for reason in run.reasons)


def test_table_in_place_of_trajectories(tmp_path):
    T = np.array([600.0, 700.0, 800.0, 900.0, 1000.0])
    rows = "".join(f"{t},{D_true(t) * 1e-4},{D_true(t) * 1e-5},16,2730\n" for t in T)
    table = tmp_path / "points.csv"
    table.write_text(f"temperature_K,D_cm2_s,sigma_D_cm2_s,n_carriers,volume_A3\n{rows}")
    content = analysed([table], PLAIN, tmp_path / "out")
    assert content.arrhenius.Ea_eV == pytest.approx(0.25, abs=1e-6)
    assert content.arrhenius.at(300.0).D_cm2_s == pytest.approx(D_true(300) * 1e-4, rel=1e-6)
    assert content.arrhenius.at(300.0).sigma_mS_cm == pytest.approx(
        nernst_einstein(D_true(300) * 1e-4, 16, 1.0, 2730.0, 300.0), rel=1e-6
    )
    assert content.runs == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("temperature_K,D_cm2_s\n300,1e-6\n", "no column sigma_D_cm2_s"),
        ("temperature_K,D_cm2_s,sigma_D_cm2_s\n300,fast,1e-7\n", ":2: D_cm2_s = fast is not a number"),
        ("temperature_K,D_cm2_s,sigma_D_cm2_s\n300,-1e-6,1e-7\n", "must be positive"),
        ("temperature_K,D_cm2_s,sigma_D_cm2_s\n300,,\n", "neither"), ("temperature_K,D_cm2_s,sigma_D_cm2_s\n", "empty"),
        ("temperature_K,D_cm2_s,sigma_D_cm2_s\n,1e-6,1e-7\n", "no temperature"),
        ("temperature_K,D_cm2_s,sigma_D_cm2_s\n300,1e-6,\n", "needs its standard error"),
    ],
)
def test_bad_tables(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        analysed([tmp_path / "t.csv"], PLAIN, tmp_path / "out")


def test_comparison_with_experiment(tmp_path):
    rows = "".join(
        f"{name},{t},{D_true(t) * 1e-4 * f},{D_true(t) * 1e-5},16,2730\n"
        for name, f in (("A", 1.0), ("B", 2.0)) for t in (600.0, 800.0, 1000.0)
    )
    (tmp_path / "t.csv").write_text(f"system,temperature_K,D_cm2_s,sigma_D_cm2_s,n_carriers,volume_A3\n{rows}")
    measured = tmp_path / "m.csv"
    measured.write_text("system,x,sigma_mS_cm,D_cm2_s,Ea_eV\nA,0.0,3.0,1e-8,0.3\nB,0.5,5.0,,0.28\n")
    analysed([tmp_path / "t.csv"], ConductivitySettings(), tmp_path / "out", compare=measured)
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"activation.svg", "arrhenius.svg", "series.svg", "parity.svg", "parity.png"} <= names
    assert (tmp_path / "out/figures/parity.csv").read_text().startswith("system,x,source,measured_sigma_mS_cm")
    assert "experiment" in (tmp_path / "out/figures/series.svg").read_text()
    assert (tmp_path / "out/activation.csv").read_text().count("\n") == 3
    measured.write_text("name,x\nA,1\n")
    with pytest.raises(InputError, match="no column `system`"):
        analysed([tmp_path / "t.csv"], PLAIN, tmp_path / "out", compare=measured)


def test_copies_of_a_run_count_once(makers, tmp_path):
    """The same trajectory in two formats would make the interval narrower; another seed does."""
    sample = makers.sample(n_frames=1200, n_li=16)
    makers.text(sample, tmp_path / "a_1000K.lammpstrj")
    makers.text(sample, tmp_path / "b_1000K.lammpstrj.gz", digits=5)
    one = analysed([tmp_path / "a_1000K.lammpstrj"], PLAIN, tmp_path / "one", SourceOptions(timestep_fs=2.0))
    two = analysed([tmp_path], PLAIN, tmp_path / "two", SourceOptions(timestep_fs=2.0))
    entry = two.temperatures[0]
    assert (entry.n_runs, entry.n_runs_refused) == (1, 0)
    assert entry.D_ci95_cm2_s == pytest.approx(one.temperatures[0].D_ci95_cm2_s, rel=1e-6)
    assert "1 copy of the same run left out" in entry.reasons


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_local_exponent(power):
    times = np.geomspace(0.1, 100, 200)
    centres, found = local_exponent(times, 3 * times**power)
    assert 0.1 < centres[0] < centres[-1] < 100
    np.testing.assert_allclose(found, power, rtol=1e-9)


def test_no_conductivity_of_several_species_is_extrapolated(makers, tmp_path):
    """The line is that of the first species, which alone is not what carries the current."""
    folders = []
    for T, D in ((600.0, 0.1), (1200.0, 0.8)):
        folder = makers.md_folder(makers.sample(n_frames=1500, n_li=40, D=D), tmp_path / f"md{T:g}", T)
        text = (folder / "traj.lammpstrj").read_text()
        for index in range(21, 41):
            text = text.replace(f"\n{index} Li ", f"\n{index} Na ")
        (folder / "traj.lammpstrj").write_text(text)
        folders.append(folder)
    settings = ConductivitySettings(mobile=["Li", "Na"], charges={"Li": 1.0, "Na": 1.0}, figures=False)
    content = analysed(folders, settings, tmp_path / "out")
    line = content.arrhenius
    assert line.at(300.0).D_cm2_s > 0
    assert line.at(300.0).sigma_mS_cm is None
    assert any("the line is that of Li" in note for note in line.notes)
    assert any("the line is that of Li" in text for text in result_lines(content))


def test_a_charge_that_is_not_given_is_the_formal_one():
    settings = ConductivitySettings(mobile=["Mg", "S"])
    assert [charge_of(settings, name) for name in ("Li", "Mg", "S")] == [1.0, 2.0, -2.0]


@pytest.mark.parametrize("values", [{"mobile": ["Li", "Li"]}, {"hop_distance_A": np.inf}, {"charges": {"Li": np.nan}}])
def test_settings_that_are_refused(values):
    with pytest.raises(ValueError, match=r"duplicate|finite"):
        ConductivitySettings(**values)
