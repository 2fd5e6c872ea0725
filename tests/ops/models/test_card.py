"""The card: its schema, what it says, and that it claims nothing that was not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import dpa_sse
from dpa_sse.ops.core.errors import FatalError, InputError, RefusedError
from dpa_sse.ops.models import card_text
from dpa_sse.ops.models.card import Background, make_card
from dpa_sse.ops.models.claims import unfounded
from dpa_sse.ops.models.collect import collect_model, find_gates
from dpa_sse.ops.models.publish import accepted_gates
from dpa_sse.ops.models.registry import ModelRegistry, StoredModel
from dpa_sse.ops.models.store import claims_of, store_model
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model_card import Accepted, ModelCard, model_schema
from dpa_sse.ops.results.summary import ErrorSummary, Summary
from tests.model_files import checkpoint, frozen
from tests.ops.models.stored import ELEMENTS, gate, model_folder, verdict

SCHEMA = Path(dpa_sse.__file__).parent / "configs" / "schemas" / "model.json"


def summary() -> Summary:
    errors = ErrorSummary(
        split="test", labels="VASP PE", energy_mae_meV_atom=1.618, energy_mae_ci95_meV_atom=(1.41, 1.73),
        force_mae_meV_A=31.4, force_mae_ci95_meV_A=None, virial_mae_meV_atom=None, virial_mae_ci95_meV_atom=None,
        n_frames=29,
    )
    return Summary(
        name="x", status="done", stages=(), errors={"student": errors}, concurrent_learning=(), md=(), conductivity=(),
        arrhenius=(), ranking=(), self_check=(), self_check_rounds=0,
    )


def stored(tmp_path: Path, *, judged: bool = True, **known: object) -> StoredModel:
    folder = model_folder(tmp_path / "one")
    evidence = {}
    if judged:
        known["gates"] = verdict(folder, gate("G1", "PASS", 43.21), gate("G8", "WARN", 0.0777, required=False))
        evidence["gates.json"] = folder / "gates.json"
    if known.get("summary"):
        summary().write(tmp_path / "summary.json")
        evidence["summary.json"] = tmp_path / "summary.json"
    parts = collect_model(folder)
    background = Background(**known)  # type: ignore[arg-type]
    return store_model(ModelRegistry(tmp_path / "registry"), "lps", parts, background, evidence)[0]


def test_the_schema_is_that_of_the_model() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == model_schema()


def test_the_card_comes_back_and_follows_the_schema(tmp_path: Path) -> None:
    model = stored(tmp_path, summary=summary(), evaluations={"student": "held-out labels"})
    data = yaml.safe_load((model.folder / "model.yaml").read_text(encoding="utf-8"))
    assert ModelCard.model_validate(data) == model.card
    schema = model_schema()
    assert set(data) == set(schema["properties"]) and set(schema["required"]) <= set(data)
    assert data["hyperparams"]["graph_construction_radius"] == 6.5 and data["hyperparams"]["max_neighbors"] == 24
    assert data["requirements"] == {"deepmd-kit": "3.2.0"} and data["gates"]["temperature_K"] == 812.0
    assert data["intended_use"]["elements"] == ELEMENTS


@pytest.mark.parametrize(("key", "value"), [
    ("model_name", "../x"), ("date_added", "today"), ("files", {"model.pt": {"sha256": "xyz", "size_bytes": 1}}),
    ("license", None), ("unknown", 1), ("format_version", 9),
])
def test_a_card_that_is_none(key: str, value: object, tmp_path: Path) -> None:
    data = yaml.safe_load((stored(tmp_path).folder / "model.yaml").read_text(encoding="utf-8"))
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({**data, key: value}))
    with pytest.raises(InputError, match="not a model card") as caught:
        ModelCard.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_number_was_measured(tmp_path: Path) -> None:
    model = stored(tmp_path, summary=summary(), evaluations={"student": "held-out labels"})
    page = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert claims_of(model) == []
    for text in ("43.2", "0.0777", "1.62", "1.41 to 1.73", "31.4", "812 K", "deepmd-kit 3.2.0", "training_steps 1234"):
        assert text in page, text
    for claim, line in (
        ("4.56", "Its forces are accurate to 4.56 meV/A."), ("1600", "| more | 1600 | | K | 3 | |"),
    ):
        harmed = page.replace("\n| gate |", f"\n{line}\n\n| gate |")
        assert harmed != page
        found = unfounded(model.card, Gates.read(model.folder), summary(), harmed)
        assert any(one.startswith(f"{claim}:") for one in found), found
    elsewhere = page + "\nUsed by 77 groups.\n"
    assert unfounded(model.card, Gates.read(model.folder), summary(), elsewhere) != []


def test_a_fact_is_not_a_measurement(tmp_path: Path) -> None:
    """1234 training steps are on the card; in the section of what was measured, the same number is a claim."""
    model = stored(tmp_path)
    page = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    harmed = page.replace("A gate in parentheses", "Stable for 1234 ps. A gate in parentheses")
    assert unfounded(model.card, Gates.read(model.folder), None, harmed) == [
        "1234: on the card, but neither in gates.json nor in summary.json"
    ]


def test_a_line_added_to_the_page_is_refused_when_a_model_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_text, "NOTHING", "Errors are below 4.56 meV/A.")
    with pytest.raises(FatalError, match=r"not stored, .*4\.56"):
        stored(tmp_path, judged=False)
    assert not (tmp_path / "registry").exists()


def test_numbers_and_verdicts_must_be_those_of_the_files(tmp_path: Path) -> None:
    model = stored(tmp_path)
    gates = Gates.read(model.folder)
    better = model.card.metrics[0].model_copy(update={"value": 1.0})
    assert unfounded(model.card.model_copy(update={"metrics": (better,)}), gates, None)
    assert model.card.gates is not None
    passed = model.card.gates.model_copy(update={"verdict": "FAIL"})
    assert unfounded(model.card.model_copy(update={"gates": passed}), gates, None)
    assert unfounded(model.card, None, None)
    other = gates.model_copy(update={"model_sha256": "0" * 64})
    assert unfounded(model.card, other, None)


def test_without_gates_the_card_says_so(tmp_path: Path) -> None:
    model = stored(tmp_path, judged=False)
    page = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Verdict of the gates: **NOT_RUN**" in page and "No gate was run on this model" in page
    assert any("no gate was run" in one for one in model.card.intended_use.must_not)
    assert model.card.metrics == () and model.card.gates is None


def test_with_errors_but_without_gates_the_card_does_not_deny_them(tmp_path: Path) -> None:
    model = stored(tmp_path, judged=False, summary=summary(), evaluations=["student"])
    page = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "31.4" in page and "No gate was run on this model: beyond the errors below" in page
    assert "nothing is known about its errors" not in page
    assert any("outside of the held-out labels: no gate was run" in one for one in model.card.intended_use.must_not)
    assert claims_of(model) == []


def test_titles_of_metrics_are_those_of_the_code(tmp_path: Path) -> None:
    """A card that calls errors on some labels those on others, or names an evaluation that there is not."""
    model = stored(tmp_path, summary=summary(), evaluations=["student"])
    metric = next(one for one in model.card.metrics if "held-out labels" in one.name)
    others = tuple(one for one in model.card.metrics if one is not metric)
    for change in ({"name": "force MAE, all materials"}, {"source": "summary.json: errors.other.force_mae_meV_A"}):
        renamed = model.card.model_copy(update={"metrics": (*others, metric.model_copy(update=change))})
        assert unfounded(renamed, Gates.read(model.folder), summary()), change


@pytest.mark.parametrize(("old", "new", "line"), [
    ("It must not be used for", "It may be used for", "It must not be used for"),
    ("A gate in parentheses is not required.", "All gates are required.", "A gate in parentheses"),
    ("\n## Licence", "\nIt is the best model.\n\n## Licence", "## Licence"),
    ("- elements other than Li, P, S\n", "", "- elements other than"),
])
def test_the_page_must_be_that_of_the_card(old: str, new: str, line: str, tmp_path: Path) -> None:
    """Words without numbers are claims, too."""
    model = stored(tmp_path)
    path = model.folder / "MODEL_CARD.md"
    page = path.read_text(encoding="utf-8")
    assert old in page and claims_of(model) == []
    path.chmod(0o644)
    path.write_text(page.replace(old, new), encoding="utf-8")
    (found,) = claims_of(model)
    assert found.startswith("MODEL_CARD.md, line ") and line in found
    path.write_text(page + "\nIt is for everything.\n", encoding="utf-8")
    assert "nothing more" in claims_of(model)[0]


def test_what_it_must_not_be_used_for(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one")
    gates = verdict(folder, gate("G1", "PASS"), gate("G9", "INCONCLUSIVE", 1.5, required=False))
    card = make_card("x", collect_model(folder), Background(gates=gates, must_not=["glasses"]))
    text = "\n".join(card.intended_use.must_not)
    assert "elements other than Li, P, S" in text and "MD above 812 K" in text and "Li3PS4" in text
    assert "G9 INCONCLUSIVE" in text and "G1" not in text and text.endswith("glasses")


def test_a_verdict_on_another_file(tmp_path: Path) -> None:
    folder, other = model_folder(tmp_path / "one"), model_folder(tmp_path / "two", seed=1)
    verdict(other, gate("G1", "PASS"))
    parts = collect_model(folder)
    assert find_gates(None, folder, parts) is None
    with pytest.raises(InputError, match="is the verdict on another file"):
        find_gates(other, folder, parts)
    with pytest.raises(InputError, match="no such file"):
        find_gates(tmp_path / "none.json", folder, parts)
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(InputError, match=r"bad\.json"):
        find_gates(tmp_path / "bad.json", folder, parts)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one")
    frozen(folder / "model.pth", ["Na", "S"])
    with pytest.raises(InputError, match=r"model\.pth is of another model"):
        collect_model(folder)
    checkpoint(tmp_path / "two.pt", {"a": ["Li"], "b": ["Na"]})
    with pytest.raises(InputError, match=r"2 branches.*\(--branch NAME\)"):
        collect_model(tmp_path / "two.pt")
    assert collect_model(tmp_path / "two.pt", "b").branch.type_map == ("Na",)
    frozen(tmp_path / "x.pt", ["Li"])
    with pytest.raises(InputError, match=r"must end in \.pth; rename it"):
        collect_model(tmp_path / "x.pt")
    with pytest.raises(InputError, match="no model in this folder"):
        collect_model(tmp_path)


class TestPublish:
    def test_what_passed_is_published(self, tmp_path: Path) -> None:
        folder = model_folder(tmp_path / "one")
        assert accepted_gates([], [], verdict(folder, gate("G1", "WARN"), gate("G8", "FAIL", required=False))) == []

    @pytest.mark.parametrize("state", ["FAIL", "NOT_RUN"])
    def test_a_required_gate_that_did_not_pass(self, state: str, tmp_path: Path) -> None:
        gates = verdict(model_folder(tmp_path / "one"), gate("G1", state), gate("G6", "FAIL", 0.5), gate("G7", "PASS"))
        with pytest.raises(RefusedError, match=r"G1 gate G1 .*G6.*--accept G1 .*--accept G6"):
            accepted_gates([], [], gates)
        with pytest.raises(RefusedError, match="--accept G6"):
            accepted_gates(["G1"], ["known"], gates)
        assert accepted_gates(["g1", "G6"], ["known", "not  used"], gates) == [
            Accepted(gate="G1", reason="known"), Accepted(gate="G6", reason="not used"),
        ]
        with pytest.raises(InputError, match="--accept G7: does not keep the model"):
            accepted_gates(["G1", "G6", "G7"], ["a", "b", "c"], gates)

    def test_without_gates(self) -> None:
        with pytest.raises(RefusedError, match="no gate has judged this model file"):
            accepted_gates([], [], None)
        assert accepted_gates(["NOT_RUN"], ["a trial"], None)[0].reason == "a trial"

    @pytest.mark.parametrize(("given", "reasons", "message"), [
        (["G1"], [], "needs one --reason"), ([], ["x"], "needs one --reason"), (["NOT_RUN"], [" "], "is empty"),
    ])
    def test_reasons(self, given: list[str], reasons: list[str], message: str) -> None:
        with pytest.raises(InputError, match=message):
            accepted_gates(given, reasons, None)

    def test_reasons_are_on_the_card(self, tmp_path: Path) -> None:
        model = stored(tmp_path, judged=False, accepted=[Accepted(gate="NOT_RUN", reason="for a test of LAMMPS")])
        page = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "- NOT_RUN: for a test of LAMMPS" in page.partition("## Intended use")[0]
