"""The gates inside a workflow: what a failure means, what is done once only, which cells are used."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk

from dpa_sse.ops.core.errors import REFUSAL, SUSPENSION, RefusedError
from dpa_sse.ops.results.gates import Gates, Verdict
from dpa_sse.ops.validation.gates import student
from dpa_sse.ops.validation.gates.student import (
    Distilled,
    approve,
    ask_person,
    is_doubtful,
    judge_student,
    some_of,
)


def verdict(found: Verdict) -> Gates:
    return Gates(
        model="m", reference="teacher", model_sha256=None, structures=(), tier="smoke", temperature_K=900,
        verdict=found, reasons=("G6 repulsive wall FAIL: hole height 0.5 eV at Li-Li",), gates=(),
        thresholds_sha256="", deepmd_version="", seconds=1,
    )


def judge(out: Path, *, stop: bool) -> Gates:
    return judge_student(
        Distilled(Path("student"), Path("teacher"), Path("data"), Path("training"), Path("cells")), tier="smoke",
        temperature_K=900.0, timestep_fs=2.0, mobile=["Li"], seed=1, stop=stop, out=out,
    )


@pytest.mark.parametrize(("found", "stop", "ends"), [
    ("FAIL", True, True), ("FAIL", False, False), ("WARN", True, False), ("INCONCLUSIVE", True, False),
    ("PASS", True, False),
])
def test_a_failed_student_stops_the_run_if_asked_to(
    found: Verdict, stop: bool, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> Gates:
        verdict(found).write(tmp_path)
        return verdict(found)
    monkeypatch.setattr(student, "_judge", write)
    if ends:
        with pytest.raises(RefusedError, match=rf"^{REFUSAL}.*hole height 0.5 eV at Li-Li.*validate.on_fail: warn"):
            judge(tmp_path, stop=stop)
    else:
        assert judge(tmp_path, stop=stop).verdict == found
    monkeypatch.setattr(student, "_judge", None)  # not called again: the verdict is in the folder
    if not ends:
        assert judge(tmp_path, stop=stop).verdict == found


def test_cells_are_taken_evenly() -> None:
    cells = [bulk("Li") for _ in range(7)]
    for k, atoms in enumerate(cells):
        atoms.info["k"] = k
    assert [atoms.info["k"] for atoms in some_of(cells)] == [1, 3, 5]
    assert some_of(cells[:2]) == cells[:2]


@pytest.mark.parametrize("found", ["WARN", "INCONCLUSIVE", "FAIL"])
def test_a_person_lets_a_run_continue_with_one_verdict(found: Verdict, tmp_path: Path) -> None:
    run, gates = tmp_path / "run", tmp_path / "gates"
    run.mkdir()
    verdict(found).write(gates)
    assert is_doubtful(verdict(found))
    for place in (run, None):
        with pytest.raises(RefusedError, match=rf"^{SUSPENSION}.*is {found}: G6 .*dpa-sse resume RUN"):
            ask_person(gates, place)
    approve(gates, run)
    approve(gates, run)
    assert ask_person(gates, run).verdict == found
    verdict(found).model_copy(update={"seconds": 2.0}).write(gates)  # another verdict: to be looked at again
    with pytest.raises(RefusedError):
        ask_person(gates, run)


def test_nobody_is_asked_about_a_pass(tmp_path: Path) -> None:
    verdict("PASS").write(tmp_path)
    assert ask_person(tmp_path, None).verdict == "PASS" and not is_doubtful(verdict("PASS"))
