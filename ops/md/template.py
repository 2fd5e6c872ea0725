"""LAMMPS input of the user's own: a template with placeholders for what the pipeline needs.

A placeholder is ``@{name}``, so that LAMMPS keeps its own ``${variables}``. Four of them are blocks of lines, each
alone in a line: what is between them is the user's.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SYSTEM, START, INTEGRATOR, RUN = "system", "start", "integrator", "run"
REQUIRED = (SYSTEM, START, RUN)
BLOCKS = (SYSTEM, START, INTEGRATOR, RUN)
VALUES = (
    "temperature_K", "pressure_bar", "timestep_ps", "steps", "dump_every", "seed", "elements", "part",
)
ALLOWED = (
    "fix", "fix_modify", "compute", "compute_modify", "variable", "group", "region", "dump", "dump_modify",
)
WHY = {
    **dict.fromkeys(("shell", "python", "plugin", "info"), "a template starts no programs"),
    **dict.fromkeys(("jump", "label", "next", "if", "include", "quit", "clear", "rerun", "log", "partition", "print"),
                    "the pipeline reads the log, and resumes runs in a fixed order"),
    **dict.fromkeys(
        ("units", "boundary", "atom_style", "atom_modify", "read_data", "read_restart", "pair_style", "pair_coeff",
         "pair_modify", "mass", "neighbor", "neigh_modify", "timestep", "thermo", "thermo_style", "thermo_modify",
         "processors", "newton", "package", "suffix"),
        "@{system} has it; energies, errors and gates are those of the model alone",
    ),
    **dict.fromkeys(("velocity", "reset_timestep", "change_box", "set", "displace_atoms", "create_atoms",
                     "delete_atoms", "replicate"), "it would be repeated whenever a run resumes"),
    **dict.fromkeys(("run", "minimize", "restart", "write_restart", "undump", "unfix"), "@{run} runs, to its end"),
}
VARIABLES = ("equal", "atom", "vector", "string", "index", "loop", "format")
NAMES = {
    "fix": ("move", "guard", "mean", "start"), "dump": ("traj",),
    "variable": ("too_hot", "volume", "scale", "start_x", "start_y", "start_z"),
}
ATOMS_CHANGE = ("gcmc", "sgcmc", "widom", "deposit", "evaporate", "pour", "bond", "bond/react", "adapt", "dt")
INTEGRATORS = ("nve", "nvt", "npt", "nph", "nvk", "rigid", "brownian")
CELL_MOVES = ("npt", "nph", "press", "deform", "msst", "nphug", "qbmsst")
DRIVING = (
    "langevin", "brownian", "viscous", "temp", "heat", "ehex", "nvk", "rigid", "gle", "gld", "bd",
)
"""Fixes with which diffusion is not that of the model alone."""
FORCES = (
    "efield", "addforce", "addtorque", "setforce", "aveforce", "lineforce", "planeforce", "spring", "wall", "indent",
    "gravity", "drag", "move", "freeze", "restrain", "smd", "ti", "momb", "oneway", "colvars",
)
"""Fixes that change the forces of the model, or move atoms by others."""
OF_THE_PIPELINE = re.compile(r"^(part\.|state\.|model_|cell\.data$|output\.txt$|log\.lammps$)")
"""Names of files in the working folder of a run."""


class _Template(string.Template):
    delimiter = "@"
    idpattern = r"(?!)"  # only @{name}
    braceidpattern = r"[A-Za-z0-9_]*"


@dataclass(frozen=True)
class TemplateUse:
    """What a template runs.

    Attributes
    ----------
    moves_cell : bool or None
        Whether the runs are at constant pressure; None: some are, some are not.
    pressures : bool
        Whether the runs have different pressures.
    """

    moves_cell: bool | None
    pressures: bool = False


def template_faults(text: str, use: TemplateUse) -> list[tuple[int, str]]:
    """Return what is wrong with a template: numbers of lines, and what is wrong there; empty if it can be used."""
    commands = list(_commands(text))
    faults = [*_placeholder_faults(text, commands)]
    for line, words in commands:
        faults += [(line, fault) for fault in _command_faults(words)]
    return sorted([*faults, *_integrator_faults(text, commands, use)])


def motion_fixes(text: str) -> list[tuple[int, str]]:
    """Return the fixes of a template that damp or drive the motion of the atoms: their lines and styles."""
    found = [(number, words[3]) for number, words in _commands(text) if words[0] == "fix" and len(words) > 3]
    return [(number, style) for number, style in found if style.split("/")[0] in DRIVING]


def fill(text: str, blocks: Mapping[str, Sequence[str]], values: Mapping[str, object]) -> str:
    """Return the input that a template yields."""
    joined = {name: "\n".join(lines) for name, lines in blocks.items()}
    return _Template(text).safe_substitute({**joined, **values}).rstrip("\n") + "\n"


def _placeholder_faults(text: str, commands: Sequence[tuple[int, list[str]]]) -> Iterator[tuple[int, str]]:
    places: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        code = _without_comment(line)
        for match in _Template.pattern.finditer(code):
            name = match["braced"]
            if name is None:
                continue
            if name not in (*BLOCKS, *VALUES):
                yield number, f"unknown placeholder @{{{name}}}; possible: {', '.join((*BLOCKS, *VALUES))}"
            elif name in BLOCKS:
                places.setdefault(name, []).append(number)
                if code.strip() != f"@{{{name}}}":
                    yield number, f"@{{{name}}} stands for several lines: write it alone in a line"
    last = max((number for number, _ in commands), default=1)
    for name in REQUIRED:
        if name not in places:
            yield last, f"@{{{name}}} is missing ({_MEANING[name]})"
    for name, found in places.items():
        if len(found) > 1:
            yield found[1], f"@{{{name}}} is a second one"
    order = [name for name in BLOCKS if name in places]
    for before, after in itertools.pairwise(order):
        if places[after][0] < places[before][0]:
            yield places[after][0], f"@{{{after}}} must come after @{{{before}}}"
    yield from _after_run(commands, places.get(RUN, [10**9])[0], places.get(SYSTEM, [0])[0])


_MEANING = {
    SYSTEM: "cell or restart file, model and output of LAMMPS",
    START: "velocities and, in production, the equilibration; empty when a run resumes",
    RUN: "limit of the temperature, trajectory, restart files and the run itself",
}


def _after_run(commands: Sequence[tuple[int, list[str]]], run: int, system: int) -> Iterator[tuple[int, str]]:
    for number, words in commands:
        if words[0].startswith("@{"):
            continue
        if number > run:
            yield number, f"{words[0]} comes after @{{run}}, when the run has ended"
        elif number < system:
            yield number, f"{words[0]} comes before @{{system}}, when there are no atoms"


def _command_faults(words: list[str]) -> Iterator[str]:
    """Yield what is wrong with a command."""
    name = words[0]
    if name.startswith("@{"):
        return
    if name not in ALLOWED:
        reason = WHY.get(name, f"possible are {', '.join(ALLOWED)}")
        yield f"{name} is not possible in a template: {reason}"
        return
    yield from _name_faults(name, words)
    if name == "fix":
        yield from _fix_faults(words)
    elif name == "variable" and len(words) > 2 and words[2] not in VARIABLES:
        yield f"variable of style {words[2]} is not possible in a template; possible are {', '.join(VARIABLES)}"
    elif name == "compute" and len(words) > 3 and "python" in words[3]:
        yield f"compute {words[3]}: a template starts no programs"
    yield from _file_faults(name, words)


def _name_faults(name: str, words: list[str]) -> Iterator[str]:
    needed = {"fix": 4, "compute": 4, "dump": 6, "variable": 3}.get(name, 2)
    if len(words) < needed:
        yield f"{name} needs more arguments"
    elif words[1] in NAMES.get(name, ()):
        yield f"{name} {words[1]} is a name of the pipeline; choose another one"
    elif "$" in words[1] or (name in ("fix", "compute") and "$" in words[3]):
        yield f"{name}: write name and style without variables, so that they can be checked"


def _fix_faults(words: list[str]) -> Iterator[str]:
    style = words[3] if len(words) > 3 else ""
    if "python" in style or style in ("external", "ipi", "plumed", "mdi", "mdi/qm", "client/md"):
        yield f"fix {style} needs a program or files beside the template, which are not carried"
    if style in ATOMS_CHANGE or "swap" in style or style.startswith(("adapt", "dt/")):
        yield f"fix {style} changes atoms, their number or the time step, which the analysis takes as constant"
    if style.split("/")[0] in FORCES:
        yield f"fix {style} changes the forces: energies, errors, gates and labels are those of the model alone"
    if style == "print" and "screen no" not in " ".join(words):
        yield "fix print must have `screen no` (and a `file`): the pipeline reads the log"


def _file_faults(name: str, words: list[str]) -> Iterator[str]:
    """Yield files that would leave the folder of the run, or be overwritten when it resumes."""
    named = [words[5]] if name == "dump" and len(words) > 5 else []
    if name in ("fix", "compute", "fix_modify"):
        named += [after for word, after in itertools.pairwise(words) if word in ("file", "append")]
    for file in named:
        plain = file.replace("@{part}", "part")
        if "/" in file or "\\" in file or file.startswith(("~", "|", "$")):
            yield f"{file}: write a plain file name; files are kept in the folder `own` of the run"
        elif "@{part}" not in file:
            yield f"{file} would be overwritten when the run resumes: put @{{part}} into the name"
        elif OF_THE_PIPELINE.match(plain) or file.startswith("@{part}."):
            yield f"{file} is a name of the pipeline; choose another one, e.g. own.@{{part}}"


def _integrator_faults(
    text: str, commands: Sequence[tuple[int, list[str]]], use: TemplateUse
) -> Iterator[tuple[int, str]]:
    """Yield fixes that do not move the atoms as the settings say."""
    styles = [(number, words[3]) for number, words in commands if words[0] == "fix" and len(words) > 3]
    own = [(number, style) for number, style in styles if style.split("/")[0] in INTEGRATORS]
    cell = [
        (number, style) for number, style in styles
        if style.split("/")[0] in CELL_MOVES or style == "box/relax" or style.startswith("rigid/np")
    ]
    block = next((number for number, words in commands if words[0] == f"@{{{INTEGRATOR}}}"), 0)
    last = max((number for number, _ in commands), default=1)
    if block and own:
        yield own[0][0], f"fix {own[0][1]} moves the atoms, and so does @{{integrator}} in line {block}; remove one"
        return
    if not block and not own:
        yield last, "nothing moves the atoms: add @{integrator}, or fixes of your own such as nve and langevin"
        return
    if own and "@{temperature_K}" not in text:
        yield own[0][0], f"fix {own[0][1]} without @{{temperature_K}}: the runs at all temperatures would be equal"
    start = next((number for number, words in commands if words[0] == f"@{{{START}}}"), 0)
    if own and own[0][0] < start:
        yield own[0][0], f"fix {own[0][1]} before @{{start}} would move the atoms in the equilibration, too"
    if cell and not use.moves_cell:
        where = "are at constant volume" if use.moves_cell is False else "of some stages are (`ensemble: nvt`)"
        yield cell[0][0], f"fix {cell[0][1]} changes the cell, but the runs {where}"
    elif own and not cell and use.moves_cell is not False:
        yield own[0][0], f"fix {own[0][1]} keeps the cell, but `ensemble` of a stage is not nvt"
    elif cell and own and use.pressures and "@{pressure_bar}" not in text:
        yield cell[0][0], f"fix {cell[0][1]} without @{{pressure_bar}}: the runs at all pressures would be equal"


def _commands(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the commands: the number of their first line, and their words."""
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first or number
        joined += line.rstrip().removesuffix("&") + " "
        if line.rstrip().endswith("&"):  # also in a comment, but not before one
            continue
        if words := _words(joined):
            yield first, words
        joined, first = "", 0
    if words := _words(joined):
        yield first, words


def _words(line: str) -> list[str]:
    return _without_comment(line).replace('"', " ").replace("'", " ").split()


def _without_comment(line: str) -> str:
    """Return a line up to a # outside quotes."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#":
            return line[:place]
    return line
