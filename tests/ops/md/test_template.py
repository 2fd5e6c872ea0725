"""LAMMPS inputs of the user's own: what they must have, what they must not, and runs with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.exploration.explore import explore
from dpa_sse.ops.md.lammps import Restart, Simulation, input_text
from dpa_sse.ops.md.segments import next_part
from dpa_sse.ops.md.simulate import Job, run_lammps
from dpa_sse.ops.md.tasks import write_task
from dpa_sse.ops.md.template import TemplateUse, template_faults
from dpa_sse.ops.md.trajectory import read_dump
from dpa_sse.ops.results.md import ExplorationTask, MdRun, MdTask
from tests.ops.md.lennard_jones import lennard_jones
from tests.ops.md.test_deepmd import MODEL_MAP, sulfide
from tests.ops.md.test_extension import produce

PLAIN = "@{system}\n@{start}\n@{integrator}\n@{run}\n"
OWN = """\
# the centre of mass stays where it is; mean square displacements are written
@{system}
group mobile type 1
@{start}
fix calm all momentum 50 linear 1 1 1
compute msd mobile msd com yes
variable far equal "sqrt(c_msd[4])"    # "a # in quotes"
fix out all ave/time 10 5 50 c_msd[4] &
    v_far file msd.@{part}.txt
@{integrator}
@{run}
"""
LANGEVIN = """\
@{system}
@{start}
fix go all nve
fix bath all langevin @{temperature_K} @{temperature_K} 0.1 @{seed}
@{run}
"""
VOLUME = TemplateUse(moves_cell=False)
SIMULATION = Simulation("nvt", 40.0, 4.0, steps=400, dump_every=20, thermo_every=10, seed=5, restart_every=100)


def with_line(line: str, template: str = PLAIN) -> str:
    return template.replace("@{integrator}", f"{line}\n@{{integrator}}", 1)


@pytest.mark.parametrize("template", [PLAIN, OWN, LANGEVIN, OWN.replace("\n", "\r\n")])
def test_good_templates(template: str) -> None:
    assert template_faults(template, VOLUME) == []


@pytest.mark.parametrize(("template", "line", "message"), [
    ("", 1, "@{system} is missing"),
    (PLAIN.replace("@{run}\n", ""), 3, "@{run} is missing"),
    (PLAIN.replace("@{integrator}\n", ""), 3, "nothing moves the atoms"),
    (PLAIN.replace("@{integrator}", "fix x all nve"), 3, "without @{temperature_K}"),
    (PLAIN + "@{run}\n", 5, "is a second one"),
    ("@{system}\n@{integrator}\n@{start}\n@{run}\n", 2, "must come after @{start}"),
    (with_line("fix a all ave/time 1 1 1 c_x file a.@{step}"), 3, "unknown placeholder @{step}"),
    (with_line("fix a @{run}"), 3, "write it alone in a line"),
    (PLAIN + "compute t all temp\n", 5, "comes after @{run}"),
    ("compute t all temp\n" + PLAIN, 1, "comes before @{system}"),
    (with_line("fix x all nvt temp @{temperature_K} 300 0.1"), 3, "and so does @{integrator}"),
    (with_line("fix x all npt temp @{temperature_K} 1 1 iso 0 0 1").replace("@{integrator}\n", ""), 3,
     "changes the cell, but the runs are at constant volume"),
    (with_line("fix x all press/berendsen iso 0 0 1"), 3, "changes the cell"),
    (LANGEVIN.replace("@{start}\nfix go all nve\n", "fix go all nve\n@{start}\n"), 2, "in the equilibration, too"),
    (with_line("shell rm -rf /"), 3, "starts no programs"),
    (with_line("group a type 1 & # not continued\nshell ls"), 4, "starts no programs"),
    (with_line("shell &\nls"), 3, "starts no programs"),
    (with_line("python f invoke"), 3, "starts no programs"),
    (with_line("jump SELF again"), 3, "not possible in a template"),
    (with_line('if "1 > 0" then "shell ls"'), 3, "not possible in a template"),
    (with_line("include other.lmp"), 3, "not possible in a template"),
    (with_line("${command} ls"), 3, "not possible in a template"),
    (with_line("pair_style lj/cut 5"), 3, "those of the model alone"),
    (with_line("velocity all zero linear"), 3, "whenever a run resumes"),
    (with_line("run 100"), 3, "@{run} runs"),
    (with_line("bond_style harmonic"), 3, "possible are fix"),
    (with_line("variable s python f"), 3, "variable of style python"),
    (with_line("variable s getenv HOME"), 3, "variable of style getenv"),
    (with_line("variable f file /etc/passwd"), 3, "variable of style file"),
    (with_line("fix p all python/invoke 10 end_of_step f"), 3, "fix python/invoke needs a program"),
    (with_line("fix a all gcmc 10 1 1 1 1 1 1 1"), 3, "which the analysis takes as constant"),
    (with_line("fix a all dt/reset 10 0.1 1 0.1"), 3, "which the analysis takes as constant"),
    (with_line("fix guard all momentum 10 linear 1 1 1"), 3, "is a name of the pipeline"),
    (with_line("variable too_hot equal 1"), 3, "is a name of the pipeline"),
    (with_line("dump traj all custom 10 own.@{part} id"), 3, "is a name of the pipeline"),
    (with_line("dump d all custom 10 own.dump id"), 3, "put @{part} into the name"),
    (with_line("dump d all custom 10 /tmp/own.@{part} id"), 3, "write a plain file name"),
    (with_line("dump d all custom 10 @{part}.lammpstrj id"), 3, "is a name of the pipeline"),
    (with_line("fix o all ave/time 1 1 1 c_x &\n  file ../o.@{part}"), 3, "write a plain file name"),
    (with_line('fix p all print 10 "$(step)"'), 3, "must have `screen no`"),
    (with_line("fix a all ${style} 1"), 3, "without variables"),
    (with_line("fix a"), 3, "needs more arguments"),
])
def test_bad_templates_are_refused_at_their_line(template: str, line: int, message: str) -> None:
    found = template_faults(template, VOLUME)
    assert any(number == line and message in fault for number, fault in found), found


def test_own_barostats_agree_with_the_stages() -> None:
    barostat = PLAIN.replace(
        "@{integrator}", "fix b all npt temp @{temperature_K} @{temperature_K} 0.1 aniso @{pressure_bar} 0 1"
    )
    assert template_faults(barostat, TemplateUse(moves_cell=True, pressures=True)) == []
    for use, message in ((VOLUME, "constant volume"), (TemplateUse(moves_cell=None), "of some stages")):
        assert message in template_faults(barostat, use)[0][1]
    fixed = barostat.replace("@{pressure_bar}", "0")
    assert "would be equal" in template_faults(fixed, TemplateUse(moves_cell=True, pressures=True))[0][1]
    assert "`ensemble` of a stage is not nvt" in template_faults(LANGEVIN, TemplateUse(moves_cell=True))[0][1]


def test_a_template_of_the_blocks_alone_is_the_input_without_one() -> None:
    for start in (None, Restart("part.001.state")):
        plain = input_text(SIMULATION, ["Ar"], ["m.pth"], start=start, potential=lennard_jones)
        filled = input_text(SIMULATION, ["Ar"], ["m.pth"], start=start, potential=lennard_jones, template=PLAIN)
        assert filled.split() == plain.split()


def test_variables_of_lammps_are_left_alone() -> None:
    text = input_text(SIMULATION, ["Li", "S"], ["m.pth"], template=with_line(
        'variable s string "@{elements} ${x} $(step) a@b @{dump_every}"\nfix f all ave/time 1 1 @{steps} c_t'
    ), potential=lennard_jones, part=2)
    assert 'variable s string "Li S ${x} $(step) a@b 20"\nfix f all ave/time 1 1 400 c_t' in text


@pytest.mark.parametrize("template", [OWN, LANGEVIN])
def test_interrupted_runs_resume(tmp_path: Path, argon: Atoms, dummy_model: Path, template: str) -> None:
    """Every frame is there once; what the template writes is kept, of each part."""
    job = Job(argon, [dummy_model], ["Ar"], SIMULATION, potential=lennard_jones, template=template)
    whole = run_lammps(job, tmp_path / "a")
    run_lammps(replace(job, simulation=replace(SIMULATION, steps=250)), tmp_path / "b")
    resumed = run_lammps(job, tmp_path / "b")
    assert (whole.status, resumed.status) == ("ok", "ok"), (whole.reason, resumed.reason)
    assert next_part(tmp_path / "b/work") == 2
    frames = [list(read_dump(tmp_path / name / "traj.lammpstrj")) for name in "ab"]
    assert [frame.step for frame in frames[1]] == list(range(0, 401, 20))
    assert np.allclose(frames[0][10].positions, frames[1][10].positions)
    if template == OWN:  # its fixes have no memory that moves atoms
        assert (tmp_path / "a/traj.lammpstrj").read_bytes() == (tmp_path / "b/traj.lammpstrj").read_bytes()
        files = {name: sorted(path.name for path in (tmp_path / name / "own").iterdir()) for name in "ab"}
        assert files == {"a": ["msd.part.000.txt"], "b": ["msd.part.000.txt", "msd.part.001.txt"]}
        msd = np.loadtxt(tmp_path / "a/own/msd.part.000.txt")
        assert msd[-1, 0] == 400
        assert msd[-1, 2] == pytest.approx(np.sqrt(msd[-1, 1]), rel=0.3)
    else:
        assert not (tmp_path / "a/own").exists()
        assert "langevin 40 40 0.1 6" in (tmp_path / "b/work/part.001.in").read_text()  # other random numbers


def test_longer_production_continues(tmp_path: Path, argon: Atoms, dummy_model: Path) -> None:
    """Of a run with the same template; another template is another run."""
    short = produce(tmp_path, "a", argon, dummy_model, lammps_template=OWN)
    assert MdRun.read(short).own_input
    assert "fix calm all momentum" in (short / "in.lammps").read_text()
    assert not (short / "own" / "part.000.log").exists()
    long = produce(tmp_path, "b", argon, dummy_model, production_ps=12, lammps_template=OWN)
    assert MdRun.read(long).continued_from == 2500
    other = produce(tmp_path, "c", argon, dummy_model, production_ps=12, lammps_template=PLAIN)
    assert MdRun.read(other).continued_from is None
    assert MdTask.read(tmp_path / "b.tasks" / "task.000").template == OWN


def test_exploration_with_a_template(tmp_path: Path, deep_potentials: list[Path]) -> None:
    """Real Deep Potentials: their deviation is written at every frame."""
    task: dict[str, Any] = {
        "system": "test", "cell": "c", "iteration": 0, "stage": 0, "models": (0, 1), "ensemble": "nvt",
        "temperature_K": 300.0, "pressure_GPa": 0.0, "replica": 0, "timestep_fs": 1.0, "equilibration_steps": 0,
        "steps": 20, "dump_every": 5, "restart_every": 10, "seed": 3,
    }
    write_task(tmp_path, 0, sulfide("cubic"), ExplorationTask(**task, template=LANGEVIN))
    explore(tmp_path / "task.000", deep_potentials, MODEL_MAP, tmp_path / "out")
    assert read_json(tmp_path / "out/status.json")["status"] == "ok", read_json(tmp_path / "out/status.json")
    assert len((tmp_path / "out/model_devi.csv").read_text().splitlines()) == 1 + 5
    assert "fix bath all langevin 300 300 0.1" in (tmp_path / "out/in.lammps").read_text()
