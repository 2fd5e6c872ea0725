"""``dpa-sse models`` from the outside, and models of the registry in configurations and runs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.results.dataset import DatasetInfo, StoredSystem
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.pipeline.cli import main
from dpa_sse.pipeline.config import ConfigError, check_project, load_checked, load_project
from tests.finished_runs import finished_run
from tests.model_files import checkpoint, frozen
from tests.ops.models.stored import gate, model_folder, verdict

MD = """name: reg
type_map: [Li, P, S]
systems: [{{name: A, structure: Li3PS4}}]
md: {{model: {model}, temperatures_K: [600], production_ps: 2}}
"""
TEACHER = """name: reg
type_map: [Li, P, S]
systems: [{{name: A, structure: Li3PS4}}]
labeler: {{kind: deepmd, model: {model}}}
pretrain: {{model: {model}}}
distill: {{}}
"""


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPA_SSE_MODELS", str(tmp_path / "registry"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "registry"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dpa-sse", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_add_list_show_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models", "list") == 0 and "no models yet" in capsys.readouterr().out
    folder = model_folder(tmp_path / "lps")
    verdict(folder, gate("G1", "WARN"))
    assert run(monkeypatch, "models", "add", folder, "--license", "CC-BY-4.0") == 0
    out = capsys.readouterr().out
    assert "lps@1 stored (gates WARN)" in out and "pretrain: {model: lps@1}" in out
    assert run(monkeypatch, "models", "add", folder / "model.pth", "--name", "plain") == 0
    assert run(monkeypatch, "models", "add", folder, "--license", "CC-BY-4.0") == 0
    assert "is there already" in capsys.readouterr().out
    assert run(monkeypatch, "models", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["lps@1", "WARN"], ["plain@1", "NOT_RUN"]]
    assert run(monkeypatch, "models", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["card"]["license"] == {"checkpoint": "CC-BY-4.0"}
    assert run(monkeypatch, "models", "show", "lps") == 0
    assert "# lps@1" in capsys.readouterr().out
    assert run(monkeypatch, "models", "show", "lps@1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model_version"] == "1"
    assert run(monkeypatch, "models", "show", folder / "model.pth") == 0
    assert "frozen model" in capsys.readouterr().out
    assert run(monkeypatch, "models", "verify", "lps") == 0
    assert "lps@1: OK" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "message"), [
    (["show", "none"], "no such model in the registry"), (["show", "none.pth"], "none.pth: no such file"),
    (["verify", "lps@7"], "no such model"), (["add", "none"], "none: no such file"),
    (["add", "lps", "--name", "a/b"], "the name of a model consists of"),
    (["add", "my model.pth"], "my model.pth: its name cannot be that of a model in the registry; give one: --name"),
    (["add", "lps", "--name", "a@2"], "give the version as --version 2"),
    (["add", "lps", "--version", "../x"], "the version of a model"),
    (["add", "lps", "--gates", "none.json"], "--gates none.json: no such file"),
    (["add", "lps", "--branch", "PBE"], "remove the branch 'PBE'"),
    (["pull", "lps@1", "--from", "nowhere"], "--from nowhere: no such folder"),
    (["add", "my.yaml"], "my.yaml: is a text file (a configuration, a structure or data), no model; give the"),
    (["show", "./my.json"], "my.json: is a text file (a configuration"),
    (["add", "native.yaml"], "native.yaml: is of another backend of DeePMD-kit; convert it: dp convert-backend"),
    (["publish", "none"], "no such run here"), (["publish", "none", "--model", "studnet"], "did you mean 'student'"),
])
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], registry: Path,
) -> None:
    frozen(model_folder(tmp_path / "lps").parent / "my model.pth", ["Li"])
    (tmp_path / "my.yaml").write_text("pretrain: {model: x.pt}\n")
    (tmp_path / "my.json").write_text("{}")
    (tmp_path / "native.yaml").write_text("backend: dpmodel\nmodel: {}\nsoftware: deepmd-kit\nversion: 3.2.0\n")
    assert run(monkeypatch, "models", *arguments) == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1
    assert not registry.exists()


def test_one_damaged_card_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registry: Path
) -> None:
    folder = model_folder(tmp_path / "lps")
    for name in ("a", "b"):
        run(monkeypatch, "models", "add", folder, "--name", name)
    card = registry / "a" / "1" / "model.yaml"
    card.chmod(0o644)
    card.write_text("[")
    capsys.readouterr()
    assert run(monkeypatch, "models", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a@1: ") and "cannot be read" in lines[0] and lines[1].startswith("b@1 ")


class TestConfiguration:
    def check(self, tmp_path: Path, text: str, model: str) -> list[str]:
        path = tmp_path / "my.yaml"
        path.write_text(text.format(model=model))
        try:
            load_checked(path)
        except ConfigError as error:
            return [str(one).removeprefix(f"{path}:") for one in error.problems]
        return []

    def test_the_file_is_handed_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Path) -> None:
        run(monkeypatch, "models", "add", model_folder(tmp_path / "lps"))
        assert self.check(tmp_path, MD, "lps@1") == []
        located = load_checked(tmp_path / "my.yaml")
        assert located.project.md is not None
        assert located.project.md.model == str((registry / "lps" / "1" / "model.pth").resolve())
        used = located.models["md.model"]
        assert (used.model, used.file, used.verdict) == ("lps@1", "model.pth", "NOT_RUN")
        assert used.sha256 == sha256_file(registry / "lps" / "1" / "model.pth")
        assert self.check(tmp_path, TEACHER, "lps@1") == []
        located = load_checked(tmp_path / "my.yaml")
        assert {key: one.file for key, one in located.models.items()} == {
            "pretrain.model": "model.pt", "labeler.model": "model.pth",
        }
        assert check_project(load_project(tmp_path / "my.yaml"), tmp_path / "my.yaml") == []

    def test_the_branch_of_a_multi_task_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        checkpoint(tmp_path / "two.pt", {"PBE": ["Li", "P", "S"], "PBEsol": ["Li", "P", "S"]})
        run(monkeypatch, "models", "add", "two.pt", "--branch", "PBEsol")
        text = TEACHER.replace("labeler: {{kind: deepmd, model: {model}}}\n", "")
        (tmp_path / "my.yaml").write_text(text.format(model="two@1"))
        pretrain = load_checked(tmp_path / "my.yaml").project.pretrain
        assert pretrain is not None and pretrain.branch == "PBEsol"

    @pytest.mark.parametrize(("model", "message"), [
        ("lps@2", "'lps@2': lps has no version 2; it has 1"), ("lsp@1", "did you mean 'lps'"),
        ("lps", "name its version, lps@1"), ("lps@", "the version of a model consists of"),
        ("'a b@1'", "the name of a model consists of"),
    ])
    def test_what_is_not_there(
        self, model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(monkeypatch, "models", "add", model_folder(tmp_path / "lps"))
        (found,) = self.check(tmp_path, MD, model)
        assert found.startswith("4: md.model: ") and message in found
        found = self.check(tmp_path, TEACHER, model)
        assert [one[:2] for one in found] == ["4:", "5:"] and all(message in one for one in found)

    def test_a_damaged_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Path) -> None:
        run(monkeypatch, "models", "add", model_folder(tmp_path / "lps"))
        path = registry / "lps" / "1" / "model.pt"
        path.chmod(0o644)
        path.write_bytes(b"x")
        (found,) = self.check(tmp_path, MD, "lps@1")
        assert "md.model: lps@1: damaged" in found
        assert run(monkeypatch, "check", "my.yaml") == 2 and run(monkeypatch, "render", "my.yaml") == 2

    def test_a_file_of_that_name_comes_first(self, tmp_path: Path) -> None:
        frozen(tmp_path / "own@1.pth", ["Li", "P", "S"])
        assert self.check(tmp_path, MD, "own@1.pth") == []
        assert load_checked(tmp_path / "my.yaml").models == {}

    def test_plan_and_render_have_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(monkeypatch, "models", "add", model_folder(tmp_path / "lps"))
        (tmp_path / "my.yaml").write_text(MD.format(model="lps@1"))
        assert run(monkeypatch, "plan", "my.yaml", "-o", "plan") == 0
        assert run(monkeypatch, "render", "my.yaml", "-o", "wf.yaml") == 0
        assert str(tmp_path) not in (tmp_path / "wf.yaml").read_text()
        capsys.readouterr()
        assert run(monkeypatch, "check", "my.yaml") == 0
        assert "md.model: lps@1, model.pth (sha256 " in capsys.readouterr().out


def dataset(folder: Path, system: str, frames: int, level: LevelOfTheory) -> Path:
    (folder / "dataset").mkdir(parents=True)
    one = StoredSystem(
        split="train", system=system, path="x", n_frames=frames, n_atoms=52, trajectories=("t",),
        frames_per_trajectory=(frames,),
    )
    DatasetInfo(type_map=("Li", "P", "S"), systems=(one,), level=level).write(folder / "dataset")
    return folder


class TestPublish:
    @pytest.fixture
    def run_folder(self, tmp_path: Path) -> Path:
        made = {
            "student": model_folder(tmp_path / "student"), "pretrain": model_folder(tmp_path / "pretrain", seed=1),
            "teacher-labels": dataset(tmp_path / "t", "Li3PS4", 245, LevelOfTheory(code="DeePMD-kit")),
            "collect": dataset(tmp_path / "c", "Li3PS4", 31, LevelOfTheory(code="VASP", settings={"GGA": "PE"})),
        }
        return finished_run(tmp_path / "runs" / "mine", made).folder

    def test_a_model_without_gates_is_refused(
        self, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registry: Path
    ) -> None:
        assert run(monkeypatch, "models", "publish", run_folder) == 3
        text = capsys.readouterr().err
        assert "no gate has judged this model file" in text and text.count("\n") == 1 and not registry.exists()
        given = ["--accept", "NOT_RUN", "--reason", "first try"]
        assert run(monkeypatch, "models", "publish", "mine", *given, "--name", "lps") == 0
        assert run(monkeypatch, "models", "show", "lps") == 0
        page = capsys.readouterr().out
        assert "- NOT_RUN: first try" in page
        assert "- training: 245 frames of Li3PS4 (52 atoms); DeePMD-kit" in page.replace("Deep Potential", "DeePMD-kit")
        assert "its teacher was trained on VASP, GGA PE" in page and "900 K" in page

    @pytest.mark.parametrize(("state", "code"), [("PASS", 0), ("WARN", 0), ("INCONCLUSIVE", 0), ("FAIL", 3)])
    def test_the_verdict_decides(
        self, state: str, code: int, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verdict(tmp_path / "student", gate("G1", state))  # type: ignore[arg-type]
        given = ["publish", run_folder, "--gates", tmp_path / "student" / "gates.json"]
        assert run(monkeypatch, "models", *given) == code
        if code:
            assert run(monkeypatch, "models", *given, "--accept", "G1", "--reason", "known") == 0
        assert run(monkeypatch, "models", "verify", "mine-student") == 0

    def test_the_verdict_on_the_first_student_is_not_that_on_a_corrected_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, corrected = model_folder(tmp_path / "first"), model_folder(tmp_path / "second", seed=2)
        verdict(first, gate("G1", "PASS"))
        (tmp_path / "gates").mkdir()
        shutil.move(first / "gates.json", tmp_path / "gates" / "gates.json")
        made = {"student": first, "gates": tmp_path / "gates"}
        assert run(monkeypatch, "models", "publish", finished_run(tmp_path / "runs" / "a", made).folder) == 0
        made["correct-student-i001"] = corrected
        assert run(monkeypatch, "models", "publish", finished_run(tmp_path / "runs" / "b", made).folder) == 3
        assert "no gate has judged this model file" in capsys.readouterr().err

    def test_other_models_of_the_run(self, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = ["--model", "pretrained", "--accept", "NOT_RUN", "--reason", "x"]
        assert run(monkeypatch, "models", "publish", run_folder, *given) == 0
        assert run(monkeypatch, "models", "verify", "mine-pretrained") == 0
        assert run(monkeypatch, "models", "publish", run_folder, "--model", "finetuned") == 2


TARGETS = """name: mine
type_map: [Li, P, S]
systems: [{name: A, structure: Li3PS4}]
labeler: {kind: mock}
pretrain: {steps: 10}
distill: {temperatures_K: [900], steps: 20, sample_every: 5}
md: {temperatures_K: [600], production_ps: 2}
targets:
  - {name: lps, systems: [{name: B, structure: Li3PS4}]}
  - {name: lpss, systems: [{name: C, structure: Li3PS4}], distill: {temperatures_K: [700]}}
  - {name: lost, systems: [{name: D, structure: Li3PS4}]}
"""


class TestPublishTargets:
    @pytest.fixture
    def run_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        from dpa_sse.ops.results.status import LEFT_OUT, TaskStatus
        from dpa_sse.pipeline.runs.folder import Run
        from dpa_sse.pipeline.runs.plan import PlannedStep
        from tests import finished_runs

        made: dict[str, Path] = {"pretrain": model_folder(tmp_path / "pretrain", seed=9)}
        for number, state in enumerate(("PASS", "FAIL")):
            folder = model_folder(tmp_path / f"student{number}", seed=number)
            verdict(folder, gate("G1", state))  # type: ignore[arg-type]
            (tmp_path / f"gates{number}").mkdir()
            shutil.move(folder / "gates.json", tmp_path / f"gates{number}" / "gates.json")
            made[f"student-{number:03d}"], made[f"gates-{number:03d}"] = folder, tmp_path / f"gates{number}"
        (tmp_path / "empty").mkdir()
        TaskStatus(status="empty", reason=f"{LEFT_OUT}its teacher exploded").write(tmp_path / "empty")
        made["student-002"] = tmp_path / "empty"
        monkeypatch.setattr(finished_runs, "PROJECT", TARGETS)
        run = finished_run(tmp_path / "runs" / "mine", made)
        steps = []
        for name in ("student", "gates"):
            members = [{"target": one, "step": name, "tasks": 1} for one in ("lps", "lpss", "lost")]
            steps.append(PlannedStep(
                name=name, title=name, stage="06-distill", tasks=3, settings=json.dumps({"members": members}),
            ))
        monkeypatch.setattr(Run, "plan", lambda _: steps)
        return run.folder

    def test_one_version_for_each_target(
        self, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One passed, one failed, one has no student: the first is stored, and the others are accounted for."""
        assert run(monkeypatch, "models", "publish", run_folder) == 3
        both = capsys.readouterr()
        assert "mine-lps-student@1 stored (gates PASS)" in both.out
        assert "lost: not published: its teacher exploded" in both.out
        assert "lpss: not published: G1" in both.err and both.err.count("\n") == 1
        given = ["--accept", "G1", "--reason", "for tests"]
        assert run(monkeypatch, "models", "publish", run_folder, *given) == 0
        assert "mine-lps-student@1 is there already" in (text := capsys.readouterr().out)
        assert "mine-lpss-student@1 stored (gates FAIL)" in text
        assert run(monkeypatch, "models", "show", "mine-lpss-student", "--json") == 0
        card = json.loads(capsys.readouterr().out)
        assert card["accepted"] == [{"gate": "G1", "reason": "for tests"}]
        assert card["intended_use"]["trained_temperatures_K"] == [700.0]  # of this target
        assert run(monkeypatch, "models", "show", "mine-lps-student", "--json") == 0
        card = json.loads(capsys.readouterr().out)
        assert card["accepted"] == [] and card["intended_use"]["trained_temperatures_K"] == [900.0]

    def test_a_single_target(
        self, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "models", "publish", run_folder, "--target", "lps", "--name", "own") == 0
        assert "own@1 stored (gates PASS)" in capsys.readouterr().out
        assert run(monkeypatch, "models", "publish", run_folder, "--target", "lpss") == 3

    @pytest.mark.parametrize(("arguments", "message"), [
        (["--target", "lpps"], "--target lpps: its targets are lps, lpss, lost - did you mean 'lps'"),
        (["--target", "lost"], "no target has a student model (lost: its teacher exploded)"),
        (["--gates", "gates.json"], "give its --target NAME"), (["--model", "finetuned"], "no target has a finetuned"),
        (["--accept", "G9", "--reason", "x"], "--accept G9: does not keep the model from being published"),
    ])
    def test_mistakes(
        self, arguments: list[str], message: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(monkeypatch, "models", "publish", run_folder, *arguments) == 2
        text = capsys.readouterr().err
        assert message in text and text.count("\n") == 1

    def test_what_all_targets_share_is_one_model(
        self, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = ["--model", "pretrained", "--accept", "NOT_RUN", "--reason", "x"]
        assert run(monkeypatch, "models", "publish", run_folder, *given) == 0
        assert "mine-pretrained@1 stored" in capsys.readouterr().out

    def test_a_run_without_targets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = {"student": model_folder(tmp_path / "student")}
        folder = finished_run(tmp_path / "runs" / "one", made).folder
        assert run(monkeypatch, "models", "publish", folder, "--target", "lps") == 2
        assert "--target lps: this run has no targets" in capsys.readouterr().err
