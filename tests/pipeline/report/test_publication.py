"""Methods paragraph, citations and SI tables: each number against the files of the run, nothing that was not run."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import report_inputs as made
from ase.build import bulk

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.labelers.ase_calculator import AseLabeler
from dpa_sse.ops.labelers.mock import MockLabeler
from dpa_sse.ops.labelers.settings import AseSettings, MockSettings, VaspSettings
from dpa_sse.ops.labelers.vasp.labeler import VaspLabeler
from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile
from dpa_sse.ops.results.model import LearningRates, ModelInfo
from dpa_sse.pipeline.report.build import ReportInputs, build_report
from dpa_sse.pipeline.report.inputs import ReportData, load_data
from dpa_sse.pipeline.report.publication import citations, latex
from dpa_sse.pipeline.report.publication.files import plain_number, publication, write_publication
from dpa_sse.pipeline.report.publication.level_words import level_words
from dpa_sse.pipeline.report.publication.methods import _potentials, methods
from tests.fake_vasp import write_library

SPECIAL = 'a_b & 50% of $x$ #1 {y} ~z ^w \\cmd "q" <t> [0] 10⁻⁵ σ ± 2 Å \x07'


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def labelled_data(root: Path, level: LevelOfTheory) -> Path:
    rng = np.random.default_rng(8)
    blocks = [
        made.labelled(rng, "Li2S", split, n, ["Li"] * 8 + ["S"] * 4, trajectories=3)
        for split, n in (("test", 4), ("train", 9))
    ]
    write_dataset(root / "data", made.TYPE_MAP, blocks, level=level)
    return root / "data"


def by_title(inputs: ReportInputs) -> Mapping[str, str]:
    return {one.title: one.text for one in methods(load_data(inputs))}


def test_labels_only_with_the_mock_potential(tmp_path: Path) -> None:
    """A project that ends with its data set: no word on potentials, dynamics or conductivities."""
    data = labelled_data(tmp_path, MockLabeler(MockSettings()).level([]))
    inputs = ReportInputs(config=made.config(tmp_path), provenance=made.manifest(tmp_path), seed_data=data)
    found = by_title(inputs)
    assert list(found) == ["Reference data", "Workflow"]
    counts = dict.fromkeys(("train", "test"), 0)
    for part in read(data / "dataset.json")["systems"]:
        counts[part["split"]] += part["n_frames"]
    assert found["Reference data"] == (
        f"Energies and forces of {sum(counts.values())} configurations of Li2S ({counts['train']} for training and "
        f"{counts['test']} for test) were computed with the analytic mock potential of the pipeline, which is "
        "unphysical and for tests only. 4 cells of Li2S, with components of the strain of up to 0.03 and displacements "
        "of up to 0.1 Å, were the starting points of molecular dynamics with this method (30 steps of 2 fs, NVT, 300, "
        "600, 900 and 1200 K in turn); a configuration was taken every 3 steps."
    )
    manifest = read(tmp_path / "manifest.json")
    assert found["Workflow"] == (
        f"The calculations were run with the DPA-SSE pipeline {manifest['pipeline']} on dflow "
        f"{manifest['packages']['pydflow']} [@liu2024dflow]."
    )
    everything = " ".join(found.values())
    for word in ("LAMMPS", "DeePMD", "Nernst", "fine-tuned", "Concurrent", "Arrhenius", "ASE", "VASP"):
        assert word not in everything


def test_a_whole_run_with_an_ase_calculator(tmp_path: Path) -> None:
    settings = AseSettings(calculator="ase.calculators.lj:LennardJones", kwargs={"sigma": 2.0})
    level = AseLabeler(settings).level([bulk("Cu")])
    inputs = replace(
        made.everything(tmp_path, dict.fromkeys((800.0, 1000.0, 1200.0), "diffusive")),
        seed_data=labelled_data(tmp_path / "own", level),
    )
    found = by_title(inputs)
    import ase

    words = f"potential LennardJones (version {ase.__version__}, sigma 2.0) through ASE [@larsen2017ase]"
    assert words in found["Reference data"]
    assert "4 cells of Li6PS5Br, with components of the strain" in found["Reference data"]  # the new compound
    assert inputs.learning_state is not None
    history = read(inputs.learning_state / "state.json")["history"]
    [bounds] = {(one["force_lo"], one["force_hi"]) for report in history for one in report["groups"]}
    assert (
        f"with an ensemble of 2 potentials made {len(history)} iterations and labelled "
        f"{sum(one['labelled'] for one in history)} configurations whose largest deviation of the forces was between "
        f"{bounds[0]:g} and {bounds[1]:g} eV/Å. It ended before it converged."
    ) in found["Reference data"]

    pretrained = read(inputs.models["pretrain"] / "model.json")
    assert (
        f"The pre-trained potential is a network with the descriptor {pretrained['descriptor']} [@zhang2024dpa2] "
        f"(preset {pretrained['preset']}, cutoff {pretrained['rcut_A']:g} Å, {pretrained['n_parameters']} parameters), "
        f"trained for {pretrained['steps']} steps."
    ) in found["Potentials"]
    filtered = read(inputs.teacher_filter / "filter.json")  # type: ignore[operator]
    assert "The fine-tuned potential was distilled [@wang2025dpasse] into a network" in found["Potentials"]
    assert (
        f"trained for {read(inputs.models['student'] / 'model.json')['steps']} steps in the last correction. "
        f"{filtered['n_kept']} configurations of molecular dynamics with it, which it labelled, are training and test "
        f"data ({filtered['n_train']} and {filtered['n_test']})."
    ) in found["Potentials"]
    words = f"DeePMD-kit {pretrained['deepmd_version']} [@wang2018deepmd;zeng2023deepmd;zeng2025deepmd]"
    assert f"trained with {words}" in found["Potentials"]
    assert "compressed" not in found["Potentials"]  # the model folders hold none

    errors = read(inputs.evaluations["student"] / "evaluation.json")
    assert f"On {errors['n_frames']} configurations of the {errors['split']} split" in found["Accuracy"]
    [energy] = re.findall(r"are ([\d.]+) meV/atom in the energy", found["Accuracy"])
    [force] = re.findall(r"and ([\d.]+) meV/Å in the force", found["Accuracy"])
    assert float(energy) == pytest.approx(errors["energy_mae_meV_atom"], rel=0.005)
    assert float(force) == pytest.approx(errors["force_mae_meV_A"], rel=0.005)

    runs = [read(folder / "run.json") for folder in inputs.md]
    lammps = read(inputs.provenance)["packages"]["lammps"]  # type: ignore[arg-type]
    picoseconds = {one["steps"] * one["timestep_fs"] / 1000 for one in runs}
    assert found["Molecular dynamics"] == (
        f"Cells of Li6PS5Br with {runs[0]['n_atoms']} atoms were simulated with LAMMPS {lammps} [@thompson2022lammps] "
        f"and the distilled potential, time step {runs[0]['timestep_fs']:g} fs: {picoseconds.pop():g} ps in the NVT "
        "ensemble (Nosé–Hoover thermostat [@nose1984;hoover1985], 0.1 ps), at 800, 1000 and 1200 K, 1 run at each "
        "temperature."
    )  # without equilibration there is no word on constant pressure

    analysis = read(inputs.conductivity / "conductivity.json")  # type: ignore[operator]
    assert "A value was obtained at 3 of 3 temperatures (800 K, 1000 K and 1200 K)." in found["Conductivity"]
    words = "displacement of Li relative to the framework by generalised least squares [@bullerjahn2020]"
    assert words in found["Conductivity"]
    assert "(charges: Li +1)" in found["Conductivity"]
    [room] = analysis["arrhenius"]["extrapolated"]
    energy, sigma = re.findall(r"Ea = ([\d.]+) eV.*σ = ([\d.]+) mS/cm", found["Conductivity"])[0]
    assert float(energy) == pytest.approx(analysis["arrhenius"]["Ea_eV"], rel=0.05)
    assert float(sigma) == pytest.approx(room["sigma_mS_cm"], rel=0.2)
    assert "at 800, 1000 and 1200 K gives" in found["Conductivity"]

    check = read(inputs.self_check / "self_check.json")  # type: ignore[operator]
    learned = check["rounds"][0]["labels"]
    assert found["Self-check"].startswith(f"{learned} configurations of earlier production runs were labelled")
    assert "trained on with them (1 correction)" in found["Self-check"]
    assert f"{len(check['frames'])} configurations of the production runs were labelled" in found["Self-check"]
    assert f"the verdict is “{check['systems'][0]['verdict']}”" in found["Self-check"]


def test_frames_of_vasp_and_an_adopted_model_whose_runs_failed(tmp_path: Path) -> None:
    library = write_library(tmp_path / "potcars")
    settings = VaspSettings(potcar_dir=str(library), encut_eV=450.0, functional="PBE")
    level = VaspLabeler(settings).level([bulk("Li")])
    rate = LearningRates(start_lr=1e-3, stop_lr=1e-5)
    adopted = ModelInfo(type_map=("Li", "S"), adopted="DPA-2.4-7M", descriptor="dpa2", rcut_A=6.0)
    tuned = ModelInfo(
        type_map=("Li", "S"), descriptor="dpa2", steps=400, strategy="replay", frames=40, replay_frames=12,
        rcut_A=6.0, learning_rate=rate, deepmd_version="3.2.0", compressed=True,
    )
    for name, info in (("pretrain", adopted), ("finetune", tuned)):
        (tmp_path / name).mkdir()
        info.write(tmp_path / name)
    runs = [made.md_run(tmp_path, T, "exploded", reason="too hot") for T in (700.0, 800.0)]
    models = {name: tmp_path / name for name in ("pretrain", "finetune")}
    inputs = ReportInputs(seed_data=labelled_data(tmp_path, level), models=models, md=runs)
    found = by_title(inputs)
    assert list(found) == ["Reference data", "Potentials", "Molecular dynamics"]
    stored = read(tmp_path / "data" / "dataset.json")["level"]
    text = found["Reference data"]
    assert "VASP [@kresse1996vasp] with the PBE functional [@perdew1996pbe]" in text
    assert f"a plane-wave cutoff of {stored['settings']['ENCUT']} eV" in text
    assert f"a k-point spacing of {stored['settings']['KSPACING']} Å⁻¹" in text
    assert f"PAW potentials [@blochl1994paw;kresse1999paw] ({stored['potentials']['Li']['titel']})" in text
    for name, value in stored["settings"].items():
        if name not in ("GGA", "ENCUT", "KSPACING"):
            assert f"{name} = {value}" in text
    assert found["Potentials"] == (
        "The pre-trained potential DPA-2.4-7M was taken as it is (a network with the descriptor dpa2 [@zhang2024dpa2] "
        "(cutoff 6 Å)). It was fine-tuned on 40 configurations of the new compound and 12 of the base systems for 400 "
        "steps, learning rate 0.001 to 1×10⁻⁵. Potentials were trained with DeePMD-kit 3.2.0 "
        "[@wang2018deepmd;zeng2023deepmd;zeng2025deepmd]."
    )
    assert found["Molecular dynamics"].endswith("2 runs (700 K and 800 K) exploded and were not used.")
    assert "LAMMPS [@thompson2022lammps]" in found["Molecular dynamics"]  # its version is not recorded
    assert "distilled" not in found["Molecular dynamics"]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (
            LevelOfTheory(code="ASE", settings={
                "calculator": "sevenn.calculator:SevenNetCalculator", "version": "0.13.0", "model": '"7net-mf-0"',
                "modal": '"R2SCAN"',
            }),
            "SevenNet [@park2024sevennet;kim2025multifidelity] (version 0.13.0, model 7net-mf-0, modal R2SCAN)",
        ),
        (
            LevelOfTheory(
                code="CP2K", potentials={"Li": "DZVP-MOLOPT-SR-GTH GTH-PBE-q3"},
                settings={"method": "dft", "functional": "PBESOL", "cutoff_Ry": "600", "kspacing": "0.3"},
            ),
            "CP2K [@kuhne2020cp2k] with the PBEsol functional [@perdew2008pbesol], a density cutoff of 600 Ry, a "
            "k-point spacing of 0.3 Å⁻¹, basis sets and pseudopotentials [@vandevondele2007molopt;goedecker1996gth] "
            "(Li: DZVP-MOLOPT-SR-GTH GTH-PBE-q3)",
        ),
        (
            LevelOfTheory(code="CP2K", settings={"method": "gfn1-xtb"}),
            "CP2K [@kuhne2020cp2k] with GFN1-xTB [@grimme2017xtb]",
        ),
        (
            LevelOfTheory(code="VASP", settings={"GGA": "PE", "LHFCALC": "True", "AEXX": "0.25"}),
            "VASP [@kresse1996vasp] with a hybrid functional (see LHFCALC, AEXX and HFSCREEN); GGA = PE, "
            "LHFCALC = True, AEXX = 0.25",
        ),
        (
            LevelOfTheory(code="VASP", settings={"GGA": "PE", "METAGGA": "R2SCAN"}),
            "VASP [@kresse1996vasp] with the r²SCAN functional [@furness2020r2scan]",
        ),
        (LevelOfTheory(code="VASP"), "VASP [@kresse1996vasp] with the functional of its potential files"),
        (LevelOfTheory(code="ABINIT", settings={"ecut": "30"}), "ABINIT (ecut 30)"),
        (None, "a program that the data set does not record"),
    ],
)
def test_levels_in_words(level: LevelOfTheory | None, words: str) -> None:
    assert words in level_words(level)


def test_text_is_literal_in_latex() -> None:
    shown = latex.escaped(SPECIAL)
    assert r"a\_b \& 50\% of \$x\$ \#1 \{y\} \textasciitilde{}z \textasciicircum{}w \textbackslash{}cmd" in shown
    assert r"$10^{-5}$ $\sigma$ $\pm$ 2 \AA{}" in shown
    assert "\x07" not in shown
    bare = re.sub(r"\\[&%$#_{}]|\\[a-zA-Z]+", "", shown)  # what is left has no character that LaTeX reads as a command
    assert not re.search(r"[&%#_~\\]", bare)
    assert bare.count("{") == bare.count("}")
    assert latex.with_citations("A [@nose1984;hoover1985] & b.") == r"A~\cite{nose1984,hoover1985} \& b."


def test_a_table_has_as_many_cells_in_every_row() -> None:
    text = latex.table(("a_1", "b"), [("x & y", "1"), ("[z]", "10⁻³")], ("a_1",), "50 % of it", "name")
    lines = text.splitlines()
    assert r"\begin{tabular}{lr}" in lines
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    assert body == [r"a\_1 & b \\", r"\midrule", r"x \& y & 1 \\", r"{}[z] & $10^{-3}$ \\"]


def test_every_entry_of_the_library_of_citations_is_complete() -> None:
    entries = citations.library()
    assert len(entries) > 25
    for key, entry in entries.items():
        assert re.fullmatch(r"[a-z]+\d{4}[a-z0-9]*", key)
        assert entry.count("{") == entry.count("}")
        for name in ("author", "title", "year"):
            assert citations.field(entry, name), (key, name)
        doi = citations.field(entry, "doi")
        assert entry.startswith("@in") or re.fullmatch(r"10\.\d{4,5}/\S+", doi), key
        text = citations.reference(key)
        assert not re.search(r"[{}\\$]", text), text
    assert "Jens Jørgen Mortensen" in citations.reference("larsen2017ase")
    assert "P. E. Blöchl" in citations.reference("blochl1994paw")
    with pytest.raises(KeyError):
        citations.cite("unknown")


def test_several_systems_are_told_apart(tmp_path: Path) -> None:
    runs = [made.md_run(tmp_path / name, T, system=name) for name in ("One", "Two") for T in (800.0, 1000.0)]
    found = by_title(ReportInputs(md=runs, conductivity=made.analyse(tmp_path, runs)))
    assert "at 4 of 4 state points (One, 800 K; Two, 800 K; One, 1000 K; Two, 1000 K)." in found["Conductivity"]
    for name in ("One", "Two"):
        assert f"For {name}, a line through" in found["Conductivity"]
        assert f"Cells of {name} with 52 atoms" in found["Molecular dynamics"]


@pytest.mark.parametrize(
    ("text", "number"), [("6.3×10⁻⁵", "6.3e-5"), ("1×10¹²", "1e12"), ("–", ""), ("12.5", "12.5"), ("dpa2", "dpa2")]
)
def test_numbers_for_programs(text: str, number: str) -> None:
    assert plain_number(text) == number


def test_a_given_start_of_the_diffusive_regime_is_said(tmp_path: Path) -> None:
    folder = made.conductivity(tmp_path, {800.0: "diffusive"})
    content = read(folder / "conductivity.json")
    content["settings"]["start_ps"] = 2.5
    (folder / "conductivity.json").write_text(json.dumps(content))
    text = by_title(ReportInputs(conductivity=folder))["Conductivity"]
    assert "least squares [@bullerjahn2020], from 2.5 ps on; intervals" in text
    assert "jay2021" not in text


def test_the_files_next_to_the_page(tmp_path: Path) -> None:
    folder = made.conductivity(tmp_path / "in", {800.0: "diffusive", 1000.0: "diffusive"}, system="A_1 & <b>")
    out = tmp_path / "out"
    (out / "si").mkdir(parents=True)
    (out / "si" / "mine.tex").write_text("my own")
    build_report(ReportInputs(conductivity=folder, md=sorted((tmp_path / "in" / "md").glob("*"))), out)
    names = {path.name for path in (out / "si").iterdir() if not path.name.startswith(".")}
    tables = {"conductivity", "arrhenius", "md", "measured"}
    assert names == {
        "mine.tex", "methods.txt", "methods.tex", "references.bib", "supplement.tex",
        *(f"table_{table}.{suffix}" for table in tables for suffix in ("csv", "tex")),
    }
    rows = list(csv.DictReader((out / "si" / "table_conductivity.csv").open(encoding="utf-8")))
    stored = read(folder / "conductivity.json")["temperatures"]
    assert [row["system"] for row in rows] == ["A_1 & <b>"] * 2
    for row, entry in zip(rows, stored, strict=True):
        assert float(row["T (K)"]) == entry["temperature_K"]
        assert float(row["σ (mS/cm)"]) == pytest.approx(entry["sigma_NE_mS_cm"], rel=0.06)
        ends = [float(row["95 %, low"]), float(row["95 %, high"])]
        assert ends == pytest.approx(entry["sigma_NE_ci95_mS_cm"], rel=0.006)
        assert float(row["D (cm²/s)"]) == pytest.approx(entry["D_cm2_s"], rel=0.06)
    assert r"A\_1 \& \textless{}b\textgreater{}" in (out / "si" / "table_conductivity.tex").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{(\w+),", (out / "si" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    cited = re.findall(r"\\cite\{([^}]+)\}", (out / "si" / "methods.tex").read_text(encoding="utf-8"))
    assert set(keys) == {key for one in cited for key in one.split(",")}
    document = (out / "si" / "supplement.tex").read_text(encoding="utf-8")
    assert all((out / "si" / name).is_file() for name in re.findall(r"\\input\{([^}]+)\}", document))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "A_1 &amp; &lt;b&gt;" in page
    assert "<b>" not in page.split("For a paper</h2>")[1].split("</section>")[0]

    build_report(ReportInputs(), out)  # a report of nothing: its files go, the user's stay
    assert {path.name for path in (out / "si").iterdir() if not path.name.startswith(".")} == {"mine.tex"}


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "si").symlink_to(tmp_path / "elsewhere")
    data = labelled_data(tmp_path, MockLabeler(MockSettings()).level([]))
    found = publication(load_data(ReportInputs(seed_data=data)))
    with pytest.raises(InputError, match="is a link"):
        write_publication(found, tmp_path / "si")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_levels_of_plane_wave_codes() -> None:
    level = LevelOfTheory(
        code="Quantum ESPRESSO",
        settings={"functional": "PBEsol", "ecutwfc_Ry": "80", "ecutrho_Ry": "640", "kspacing": "0.3", "vdw": "none"},
        potentials={"Li": PotentialFile(titel="Li.UPF", sha256="0" * 64)},
    )
    words = level_words(level)
    assert words.startswith("Quantum ESPRESSO [@giannozzi2017qe] with the PBEsol functional [@perdew2008pbesol]")
    assert "a plane-wave cutoff of 80 Ry (640 Ry for the density)" in words
    assert "pseudopotentials (Li.UPF); vdw = none" in words
    assert level_words(level.model_copy(update={"code": "ABACUS"})).startswith("ABACUS [@li2016abacus] with the PBEsol")


def test_a_committee_of_different_networks_is_described() -> None:
    """How many of each network; one sentence where all are equal."""
    small = ModelInfo(type_map=("Li",), descriptor="se_e2_a", preset="se_e2_a", rcut_A=6.0, steps=100)
    large = ModelInfo(type_map=("Li",), descriptor="dpa2", preset="mine.json", rcut_A=7.0, steps=300)
    texts = []
    for infos in ((small, large, small), (small, small)):
        models = {f"ensemble-{number}": SimpleNamespace(info=info) for number, info in enumerate(infos)}
        data = SimpleNamespace(models=models, history=[1], teacher_filter=None, self_check=None)
        texts.append(next(_potentials(cast("ReportData", data))))
    assert texts[0].startswith("The ensemble consists of 3 potentials: 2 of a network with the descriptor se_e2_a")
    assert "and 1 of a network with the descriptor dpa2" in texts[0]
    assert texts[0].endswith("trained for 100 to 300 steps.")
    assert texts[1].startswith("The ensemble consists of 2 potentials, each a network with the descriptor se_e2_a")
