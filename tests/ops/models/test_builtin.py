"""DeePMD-kit's built-in models by name, with a stand-in of its downloader: nothing here needs a network."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.models import builtin
from dpa_sse.ops.models.builtin import builtin_file, builtin_hashes, builtin_name, pull_builtin
from dpa_sse.ops.models.registry import ModelRegistry
from dpa_sse.ops.training.job import resolve_model
from dpa_sse.pipeline.cli import main
from dpa_sse.pipeline.config import load_checked
from tests.model_files import checkpoint

NAME = "DPA-3.1-3M"
PROJECT = """name: reg
type_map: [Li, P, S]
systems: [{{name: A, structure: Li3PS4}}]
labeler: {{kind: mock}}
pretrain: {{model: {model}}}
distill: {{}}
"""


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that stands for the built-in model; the stand-in of the downloader returns it."""
    path = tmp_path / "cache" / f"{NAME}.pt"
    path.parent.mkdir()
    checkpoint(path, {"SSE": ["Li", "P", "S"], "Alloy": ["Li", "P", "S"]})
    hashes = {**builtin_hashes(), NAME: sha256_file(path)}
    monkeypatch.setattr(builtin, "builtin_hashes", lambda: hashes)
    monkeypatch.setattr("dpa_sse.pipeline.config.registered.builtin_hashes", lambda: hashes)

    def resolve(name: str, *, cache_dir: Path | None = None, logger: logging.Logger | None = None) -> Path:
        assert name == NAME and cache_dir is None
        return path

    monkeypatch.setattr("deepmd.pretrained.download.resolve_model_path", resolve)
    monkeypatch.setenv("DPA_SSE_MODELS", str(tmp_path / "registry"))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str, *, cache_dir: Path | None = None, logger: logging.Logger | None = None) -> Path:
        assert logger is not None
        logger.warning("Download attempt failed from %s", "https://one.example")
        raise RuntimeError(f"Failed to download model '{name}' from\nall sources")

    monkeypatch.setattr("deepmd.pretrained.download.resolve_model_path", resolve)
    monkeypatch.setenv("DPA_SSE_MODELS", str(tmp_path / "registry"))
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dpa-sse", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_names_and_hashes_are_those_of_deepmd() -> None:
    from deepmd.pretrained.registry import MODEL_REGISTRY

    assert builtin_hashes() == {name: entry["sha256"] for name, entry in MODEL_REGISTRY.items()}
    assert builtin_name(NAME.lower()) == NAME and builtin_name("model") == ""


def test_pull_stores_it_with_its_hash(
    downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models", "pull", NAME.lower(), "--branch", "SSE") == 0
    assert f"{NAME}@1 stored (gates NOT_RUN)" in capsys.readouterr().out
    sums = (tmp_path / "registry" / NAME / "1" / "SHA256SUMS").read_text()
    assert f"{sha256_file(downloaded)}  model.pt" in sums
    assert run(monkeypatch, "models", "verify", NAME) == 0
    assert run(monkeypatch, "models", "show", NAME) == 0
    assert "built-in model DPA-3.1-3M of DeePMD-kit" in capsys.readouterr().out
    assert run(monkeypatch, "models", "pull", NAME, "--branch", "SSE") == 0
    assert "is there already" in capsys.readouterr().out


def test_a_configuration_uses_the_one_in_the_registry(
    downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(PROJECT.format(model=NAME))
    assert load_checked(path).models == {}  # downloaded when it is needed
    pull_builtin(ModelRegistry(tmp_path / "registry"), NAME, "SSE")
    located = load_checked(path)
    assert located.project.pretrain is not None and located.project.pretrain.branch == "SSE"
    assert located.project.pretrain.model == str((tmp_path / "registry" / NAME / "1" / "model.pt").resolve())
    assert located.models["pretrain.model"].sha256 == sha256_file(downloaded)
    path.write_text(PROJECT.format(model=f"{NAME}@1"))
    assert load_checked(path).models["pretrain.model"].model == f"{NAME}@1"


def test_another_file_of_that_name_is_refused(downloaded: Path, tmp_path: Path) -> None:
    downloaded.write_bytes(downloaded.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"is not the file of DPA-3.1-3M that DeePMD-kit lists"):
        pull_builtin(ModelRegistry(tmp_path / "registry"), NAME, "SSE")
    assert not (tmp_path / "registry").exists()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("arguments", "message"), [
    ([NAME], "the built-in model DPA-3.1-3M is not in DeePMD-kit's cache and cannot be downloaded (RuntimeError: "
     "Failed to download model 'DPA-3.1-3M' from all sources); run `dp pretrained download DPA-3.1-3M`"),
    (["DPA-3.1-4M"], "say from where, --from FOLDER or ADDRESS (built-in models: DPA-"),
    ([NAME, "--from", "x", "--branch", "y"], "--branch: a version of a registry has its branch"),
])
def test_without_a_network_it_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models", "pull", *arguments) == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1


def test_a_branch_is_asked_for(
    downloaded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models", "pull", NAME) == 2
    text = capsys.readouterr().err
    assert "SSE" in text and "Alloy" in text and "--branch NAME" in text and text.count("\n") == 1


@pytest.mark.usefixtures("offline")
def test_every_built_in_name_is_one(tmp_path: Path) -> None:
    """DPA4 and DPA3-Omol too, whose names begin otherwise."""
    for name in builtin_hashes():
        with pytest.raises(InputError, match="cannot be downloaded"):
            resolve_model(name)
    with pytest.raises(InputError, match="neither a file nor"):
        builtin_file("DPA-3.1-3")
