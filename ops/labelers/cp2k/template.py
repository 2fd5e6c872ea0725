"""Checks of a user's input file, before it is used for labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import regular
from dpa_sse.ops.labelers.cp2k.sections import Section, bare, parse
from dpa_sse.ops.labelers.settings import Cp2kSettings

SMEARED_OT = "OT does not work with smearing or k-points"


def template_problems(
    settings: Cp2kSettings, type_map: Sequence[str], base_dir: Path, data: Path
) -> Iterator[str]:
    """Yield the errors of a template, each as ``file:line: message``.

    Parameters
    ----------
    settings : Cp2kSettings
        ``template`` is a file name, or the text of the file itself.
    type_map : sequence of str
        Elements, each of which needs a section KIND.
    base_dir : Path
        Folder to which the file name is relative.
    data : Path
        Folder of basis sets and potentials.
    """
    template = settings.template or ""
    unused = Cp2kSettings()
    for key in sorted(one for one in METHOD_KEYS if getattr(settings, one) != getattr(unused, one)):
        yield f"the key {key} has no effect with a template; remove it"
    text, name = template, "template"
    if "\n" not in template:
        path = base_dir / Path(template).expanduser()
        name = path.name
        try:
            text = regular(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield f"{template} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
            return
    try:
        tree = parse(text)
    except InputError as error:
        yield f"{name}:{error}"
        return
    for found in (_preprocessor(tree), _force_eval(tree, type_map), _files(tree, data)):
        yield from (f"{name}:{line}: {message}" for line, message in found)


METHOD_KEYS = {
    "method", "functional", "basis", "kinds", "cutoff_Ry", "rel_cutoff_Ry", "kspacing", "scf", "smearing_K", "eps_scf",
    "max_scf",
}


def _preprocessor(tree: Section) -> Iterator[tuple[int, str]]:
    for section in tree.walk():
        for number, line in [item for item in section.content if not isinstance(item, Section)]:
            word = bare(line).split(" ")[0].upper()
            if word in ("@INCLUDE", "@XCTYPE", "@FFTYPE", "@IF"):
                yield number, f"{word} is not supported: use a single file, since each task runs in its own folder"


def _force_eval(tree: Section, type_map: Sequence[str]) -> Iterator[tuple[int, str]]:
    found = tree.sections("FORCE_EVAL")
    if len(found) != 1:
        yield (found[1].line if found else 1), f"exactly one &FORCE_EVAL is needed, found {len(found)}"
        return
    force = found[0]
    line, method = (force.keywords("METHOD") or [(force.line, "")])[-1]
    if method.upper() not in ("QUICKSTEP", "QS"):
        yield line, f"METHOD is {method or 'not set'}; QUICKSTEP is needed"
    line, stress = (force.keywords("STRESS_TENSOR") or [(force.line, "")])[-1]
    if stress.upper() != "ANALYTICAL":
        what = f"STRESS_TENSOR is {stress}" if stress else "STRESS_TENSOR is not set"
        yield line, f"{what}; without `STRESS_TENSOR ANALYTICAL` the labels have no virial"
    dft = force.sections("DFT")
    if not dft:
        yield force.line, "&FORCE_EVAL has no &DFT"
        return
    yield from _kinds(force, dft[0], type_map)
    scf = dft[0].child("SCF")
    orbital = [item for item in scf.sections("OT") if item.parameter.upper() not in ("OFF", "F", "FALSE")]
    smeared = [item for item in scf.sections("SMEAR") if item.parameter.upper() not in ("OFF", "F", "FALSE")]
    if orbital and (smeared or dft[0].sections("KPOINTS")):
        yield orbital[0].line, SMEARED_OT


def _kinds(force: Section, dft: Section, type_map: Sequence[str]) -> Iterator[tuple[int, str]]:
    methods = [value.upper() for section in dft.sections("QS") for _, value in section.keywords("METHOD")]
    if "XTB" in methods or "DFTB" in methods:
        return
    system = force.child("SUBSYS")
    kinds = {kind.parameter.split(" ")[0].capitalize(): kind for kind in system.sections("KIND")}
    for element in type_map:
        kind = kinds.get(element)
        if kind is None:
            yield system.line or force.line, f"&SUBSYS has no &KIND {element}, and {element} is in type_map"
            continue
        for words in (("BASIS_SET",), ("POTENTIAL", "POT")):
            if not kind.keywords(*words):
                yield kind.line, f"&KIND {element} has no {words[0]}"


def _files(tree: Section, data: Path) -> Iterator[tuple[int, str]]:
    keys = ("BASIS_SET_FILE_NAME", "POTENTIAL_FILE_NAME", "PARAMETER_FILE_NAME", "PARAM_FILE_NAME")
    for section in tree.walk():
        for number, name in section.keywords(*keys):
            if "$" not in name and not (data / name).is_file():  # an absolute path replaces the folder
                yield number, f"{name} is neither in CP2K's data folder nor the absolute path of a file"
