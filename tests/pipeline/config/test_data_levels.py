"""``check`` names data of different levels of theory, and mixes them on request only."""

import pytest

from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.merge import merge_datasets
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.user_data import import_user_dataset
from dpa_sse.pipeline.commands.project import check_config
from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.config.check import mixed_levels
from tests.ops.data.vasp_text import Run, outcar

CONFIG = """\
name: levels
type_map: [Li, S]
data: [a, b]
audit_data: false  # the labels are random numbers
pretrain: null
"""
LABELLED = """\
systems: [{name: Li2S, structure: Li2S}]
labeler: {kind: mock}
aimd: {temperatures_K: [300], steps: 6, timestep_fs: 2.0, sample_every: 3}
"""


def write(folder, text, second):
    for name, run in (("a", Run()), ("b", second)):
        (folder / f"{name}.outcar").write_text(outcar(run))
        convert_data(folder / f"{name}.outcar", folder / name, "outcar")
    (folder / "my.yaml").write_text(text)
    return folder / "my.yaml"


def test_data_of_two_cutoffs(tmp_path, capsys):
    path = write(tmp_path, CONFIG, Run(seed=2, encut=400.0))
    with pytest.raises(ConfigError) as caught:
        load_checked(path)
    (problem,) = caught.value.problems
    assert "data.1" in str(problem)
    assert "ENCUT = 500 and ENCUT = 400 (a and b); `mix_levels: true`" in str(problem)
    located = load_checked(path, ["mix_levels=true"])
    assert mixed_levels(located.project, tmp_path) == ["VASP"]
    assert check_config(path, ["mix_levels=true"], as_json=False) == 0
    assert "may be mixed: VASP" in capsys.readouterr().out


def test_dft_data_beside_the_labels_of_another_source(tmp_path, capsys):
    path = write(tmp_path, CONFIG + LABELLED, Run(seed=2))
    with pytest.raises(ConfigError, match="labels by VASP cannot be mixed with labels by mock, the labeler"):
        load_checked(path)
    assert check_config(path, ["mix_levels=true"], as_json=False) == 0
    assert "may be mixed: mock, VASP" in capsys.readouterr().out


def test_data_of_one_level_pass(tmp_path, capsys):
    path = write(tmp_path, CONFIG, Run(seed=2))
    assert check_config(path, [], as_json=False) == 0
    assert "mix_levels" not in capsys.readouterr().out


def test_data_that_do_not_state_their_level(tmp_path, capsys):
    path = write(tmp_path, CONFIG, Run(seed=2))
    for file in [*(tmp_path / "b").rglob("level*"), *(tmp_path / "b").rglob("dataset.json")]:
        file.unlink()
    assert check_config(path, [], as_json=False) == 0
    assert "data.1: b does not state its level of theory: its labels are taken to be like those of the other data" in (
        " ".join(capsys.readouterr().err.split())
    )
    folders = [tmp_path / "imported" / name for name in "ab"]
    for name, folder in zip("ab", folders, strict=True):
        import_user_dataset(tmp_path / name, ["Li", "S"], SplitSettings(test=0.0), 1, folder)
    level = merge_datasets(folders, tmp_path / "merged").level
    assert level is not None
    assert level.name.startswith("VASP")
    assert level.name.endswith(" and unstated")
    assert not merge_datasets(folders[:1], tmp_path / "one").level.incomplete
    again = merge_datasets([tmp_path / "merged", folders[0]], tmp_path / "again").level
    assert again == level
