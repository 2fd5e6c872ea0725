"""`check` ends, quickly, for every file: links to themselves, numbers and files that claim too much, deep nesting."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.core.files import find_files, walk_files
from dpa_sse.pipeline.config import ConfigError, load_checked, load_project
from dpa_sse.pipeline.config.remarks import remarks

LIMIT_S = 2.0
"""CPU time of a check."""
PLAIN = {
    "name": "x", "type_map": ["Li", "Cl"], "labeler": {"kind": "mock"},
    "systems": [{"name": "a", "structure": "LiCl"}],
}


def check(path: Path) -> tuple[float, list[str]]:
    """Return the CPU time of a check, and the problems that it found."""
    begin = time.process_time()
    problems: list[str] = []
    try:
        load_checked(path)
    except ConfigError as error:
        problems = [str(one) for one in error.problems]
    return time.process_time() - begin, problems


@pytest.fixture(scope="module", autouse=True)
def _imports(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("warm") / "c.yaml"
    path.write_text(json.dumps(PLAIN))
    check(path)


def links_to_itself(folder: Path) -> str:
    data = folder / "data"
    (data / "system" / "set.000").mkdir(parents=True)
    for name in "abcdef":
        (data / name).symlink_to(".")
        (data / "system" / name).symlink_to("..")
    return json.dumps({**PLAIN, "systems": [], "data": ["data"]})


def atoms_that_are_not_there(folder: Path) -> str:
    (folder / "x.extxyz").write_text('999999999999\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n')
    return json.dumps({**PLAIN, "systems": [{"name": "a", "structure": "x.extxyz"}]})


def rows_that_are_not_there(folder: Path) -> str:
    system = folder / "data" / "s"
    (system / "set.000").mkdir(parents=True)
    (system / "type.raw").write_text("0\n")
    (system / "type_map.raw").write_text("Li\n")
    for name in ("coord", "box", "energy", "force", "real_atom_types"):
        with (system / "set.000" / f"{name}.npy").open("wb") as stream:
            header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)}
            np.lib.format.write_array_header_1_0(stream, header)
    return json.dumps({**PLAIN, "systems": [], "data": ["data"]})


def merge_of_many_keys(folder: Path) -> str:
    return "base: &b\n" + "".join(f"  k{n}: 1\n" for n in range(9000)) + "md:\n  <<: *b\nname: x\n"


def many_unknown_keys(folder: Path) -> str:
    return "name: x\n" + "".join(f"replica{n}: 1\n" for n in range(15_000))


def some_unknown_keys(folder: Path) -> str:
    return "name: x\n" + "".join(f"replica{n}: 1\n" for n in range(5000))


def many_empty_systems(folder: Path) -> str:
    return "name: x\nsystems: [" + "{}, " * 15_000 + "]\n"


def too_many_replicas(folder: Path) -> str:
    return json.dumps({**PLAIN, "md": {"temperatures_K": [300], "replicas": 10**9}})


def a_seed_of_5000_digits(folder: Path) -> str:
    return json.dumps(PLAIN)[:-1] + ', "seed": ' + "9" * 5000 + "}"


def a_name_with_a_line_break(folder: Path) -> str:
    (folder / "a\nb.cif").write_text("data_x\n")
    return json.dumps({**PLAIN, "systems": [{"name": "a", "structure": "a\nb.cif"}]})


def half_a_character(folder: Path) -> str:
    return json.dumps({**PLAIN, "name": "\ud800"})


def a_deep_cluster_preset(folder: Path) -> str:
    (folder / "deep.yaml").write_text("{a: " * 5000)
    return json.dumps({**PLAIN, "cluster": {"preset": "deep.yaml"}})


def a_deep_network(folder: Path) -> str:
    (folder / "deep.json").write_text("[" * 100_000)
    return json.dumps({**PLAIN, "pretrain": {"preset": "deep.json"}})


def with_labeler(key: str, target: str) -> Callable[[Path], str]:
    def case(folder: Path) -> str:
        if target == "pipe":
            os.mkfifo(folder / "file")
        else:
            (folder / "file").symlink_to(target)
        kind = {"incar": "vasp", "template": "cp2k"}[key]
        return json.dumps({**PLAIN, "labeler": {"kind": kind, key: "file"}})

    case.__name__ = f"{key}_is_{target.rpartition('/')[2]}"
    return case


def a_pipe_as_structure(folder: Path) -> str:
    os.mkfifo(folder / "x.cif")
    return json.dumps({**PLAIN, "systems": [{"name": "a", "structure": "x.cif"}]})


CASES: dict[Callable[[Path], str], str] = {
    links_to_itself: "contains no data in deepmd/npy format",
    atoms_that_are_not_there: "claims 999999999999 atoms, but the file has",
    rows_that_are_not_there: "",
    merge_of_many_keys: "problems in all; only the first 200 were examined",
    many_unknown_keys: "more than 20000 keys and values",
    many_empty_systems: "problems in all; only the first 200 were examined",
    some_unknown_keys: "problems in all; only the first 200 were examined",
    too_many_replicas: "must be at most 1000",
    a_seed_of_5000_digits: "a number of 5000 digits is too large",
    a_name_with_a_line_break: "control characters",
    half_a_character: "is not a character",
    a_deep_cluster_preset: "deep.yaml",
    a_deep_network: "cannot be read as a training input",
    with_labeler("incar", "pipe"): "file",
    with_labeler("incar", "/dev/zero"): "file",
    with_labeler("template", "pipe"): "file cannot be read (not a file but a pipe or a device)",
    with_labeler("template", "/dev/full"): "file cannot be read (not a file but a pipe or a device)",
    a_pipe_as_structure: "x.cif: no such file",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_check_ends_with_a_line_that_says_why(tmp_path: Path, case: Callable[[Path], str]) -> None:
    (tmp_path / "c.yaml").write_text(case(tmp_path))
    spent, problems = check(tmp_path / "c.yaml")
    assert any(CASES[case] in problem for problem in problems), problems[:5]
    assert not any("\n" in problem for problem in problems)
    assert spent <= LIMIT_S
    assert len(problems) <= 300


def test_linked_data_is_found_once(tmp_path: Path) -> None:
    real = tmp_path / "real" / "set.000"
    real.mkdir(parents=True)
    (tmp_path / "real" / "type.raw").write_text("0")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("one", "two"):
        (data / name).symlink_to(tmp_path / "real")
    (data / "self").symlink_to(".")
    assert find_files(data, "type.raw") == [data / "one" / "type.raw"]
    assert list(walk_files(data)) == ["one/type.raw"]


def test_unused_keys_of_a_network_are_remarked_on(tmp_path: Path) -> None:
    from dpa_sse.ops.training.presets import load_preset

    network = load_preset("se_e2_a-tiny").copy().data
    network["training"]["stat_file"] = "/elsewhere/stat.hdf5"
    (tmp_path / "mine.json").write_text(json.dumps(network))
    config = {**PLAIN, "pretrain": {"preset": "mine.json", "steps": 10}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    located = load_checked(tmp_path / "c.yaml")
    assert [remark.message.partition(" (")[0] for remark in remarks(located)] == ["not used: training.stat_file"]


@pytest.mark.parametrize(("resources", "message"), [
    ({"threads_per_task": 99, "cores": 4}, "must be at most resources.cores (4), not 99"),
    ({"threads_per_task": 10**9}, "must be at most 1024"), ({"cores": 10**9}, "must be at most 1024"),
])
def test_threads_that_no_task_can_have_are_refused(tmp_path: Path, resources: object, message: str) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps({**PLAIN, "resources": resources}))
    assert any(message in problem for problem in check(tmp_path / "c.yaml")[1])


@pytest.mark.parametrize(("resources", "message"), [
    ({"threads_per_task": 99}, "this machine has 3 cores: a task gets 3 threads"),
    ({"cores": 99}, "this machine has 3 cores; more tasks at a time will share them"),
    ({"threads_per_task": 3, "cores": 3}, ""),
])
def test_more_than_the_machine_has_is_remarked_on(
    tmp_path: Path, resources: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    (tmp_path / "c.yaml").write_text(json.dumps({**PLAIN, "resources": resources}))
    found = [remark.message for remark in remarks(load_checked(tmp_path / "c.yaml"))]
    assert found == [message] * bool(message)


PIECES = (
    "{", "}", "[", "]", ":", ",", "- ",
    "\n", "  ", "&a ", "*a ", "<<: ", "!!python/object ", "|\n", ">", "'", '"', "#",
    "%", "name", "type_map", "systems", "structure", "LiCl", "md", "replicas", "temperatures_K", "1e999", "9" * 400,
    "-1", "null", "~",
    "\t", "\x00", "\x1b", "\u202e", "é", "../..", "/dev/zero", "/dev/stdin", "0x10", ".inf", "k: v\n",
)


def mutated(source: random.Random, good: str) -> bytes:
    """Return a hostile variant of a configuration."""
    kind = source.randrange(6)
    if kind == 0:
        text = "".join(source.choices(PIECES, k=source.randrange(1, 3000)))
    elif kind == 1:
        text = source.choice(PIECES) * source.randrange(1, 300_000)
    elif kind == 2:
        lines = good.splitlines(keepends=True)
        text = "".join(source.choices(lines, k=source.randrange(1, 20_000)))
    elif kind == 3:
        text = good
        for _ in range(source.randrange(1, 20)):
            at = source.randrange(len(text))
            text = text[:at] + source.choice(PIECES) + text[at + source.randrange(3):]
    elif kind == 4:
        depth = source.randrange(1, 60_000)
        text = "".join(source.choices(("[", "{a: ", "- ", "? "), k=depth))
    else:
        return source.randbytes(source.randrange(1, 10_000_000))
    return text.encode("utf-8", "surrogatepass")[:10_000_000]


def fuzz(folder: Path, first: int, count: int) -> None:
    good = Path(__file__).parents[1].joinpath("flows", "mock.yaml").read_text()
    path = folder / "c.yaml"
    for seed in range(first, first + count):
        path.write_bytes(mutated(random.Random(seed), good))
        spent, _ = check(path)
        assert spent <= LIMIT_S, f"seed {seed}: {spent:.1f} s"


def named_files(folder: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return files that a configuration may name: a good content, and what of the configuration names it."""
    from ase.build import bulk
    from ase.io import write

    from dpa_sse.ops.training.presets import load_preset

    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    found: dict[str, tuple[bytes, dict[str, Any]]] = {}
    for name, kind in (("x.cif", "cif"), ("POSCAR", "vasp"), ("x.extxyz", "extxyz"), ("x.data", "lammps-data")):
        write(folder / name, atoms, format=kind, **({"masses": True} if kind == "lammps-data" else {}))
        found[name] = (folder / name).read_bytes(), {"systems": [{"name": "a", "structure": name}]}
    network = json.dumps(load_preset("se_e2_a-tiny").copy().data).encode()
    found["net.json"] = network, {"pretrain": {"preset": "net.json", "steps": 10}}
    found["site.yaml"] = b"namespace: mine\nparallelism: 3\n", {"cluster": {"preset": "site.yaml"}}
    template = b"&FORCE_EVAL\n  METHOD QUICKSTEP\n  &DFT\n  &END DFT\n&END FORCE_EVAL\n"
    found["cp2k.inp"] = template, {"labeler": {"kind": "cp2k", "template": "cp2k.inp"}}
    found["INCAR"] = b"ENCUT = 400\nISMEAR = 0\nSIGMA = 0.05\n", {"labeler": {"kind": "vasp", "incar": "INCAR"}}
    system = folder / "data" / "s"
    (system / "set.000").mkdir(parents=True)
    (system / "type.raw").write_text("0\n1\n")
    (system / "type_map.raw").write_text("Li\nCl\n")
    for name, width in (("coord", 6), ("box", 9), ("energy", 1), ("force", 6)):
        np.save(system / "set.000" / f"{name}.npy", np.ones((3, width)))
    for name in ("type.raw", "type_map.raw", "set.000/coord.npy", "set.000/box.npy"):
        found[f"data/s/{name}"] = (system / name).read_bytes(), {"systems": [], "data": ["data"]}
    for name, (good, _) in found.items():
        (folder / name).write_bytes(good)
    return found


def fuzz_named(folder: Path, first: int, count: int) -> None:
    files = named_files(folder)
    path = folder / "c.yaml"
    for seed in range(first, first + count):
        source = random.Random(seed)
        name = source.choice(sorted(files))
        good, config = files[name]
        path.write_text(json.dumps({**PLAIN, **config}))
        (folder / name).write_bytes(mutated(source, good.decode("latin-1")))
        spent, _ = check(path)
        (folder / name).write_bytes(good)
        assert spent <= LIMIT_S, f"seed {seed}, {name}: {spent:.1f} s"


def test_hundred_broken_files_that_a_configuration_names_end_in_time(tmp_path: Path) -> None:
    fuzz_named(tmp_path, 0, 100)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_broken_files_that_a_configuration_names_end_in_time(tmp_path: Path) -> None:
    fuzz_named(tmp_path, 100, 2000)


def test_hundred_broken_files_end_in_time(tmp_path: Path) -> None:
    fuzz(tmp_path, 0, 100)


@pytest.mark.slow
def test_two_thousand_broken_files_end_in_time(tmp_path: Path) -> None:
    fuzz(tmp_path, 100, 2000)


def test_a_named_pipe_as_configuration_is_refused_and_that_of_a_shell_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.yaml")
    _, problems = check(tmp_path / "c.yaml")
    assert any("not a file but a pipe or a device" in problem for problem in problems)
    (tmp_path / "real.yaml").write_text(json.dumps(PLAIN))
    with subprocess.Popen(["cat", tmp_path / "real.yaml"], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert load_project(Path(f"/dev/fd/{writer.stdout.fileno()}")).name == PLAIN["name"]
