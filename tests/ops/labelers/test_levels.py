"""Labels of potentials carry calculator, version and model hash, and are not mixed with those of another method."""

import numpy as np
import pytest
from ase.build import bulk

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.level_of_theory import join_levels
from dpa_sse.ops.labelers.ase_calculator import AseLabeler
from dpa_sse.ops.labelers.deepmd import DeepmdLabeler
from dpa_sse.ops.labelers.mock import MockLabeler
from dpa_sse.ops.labelers.model_level import weights_hash
from dpa_sse.ops.labelers.settings import AseSettings, DeepmdSettings, MockSettings
from dpa_sse.ops.labelers.vasp.potcar import find_potcar
from dpa_sse.ops.results.level import LevelOfTheory
from tests.fake_vasp import potcar_text

VASP = LevelOfTheory(code="VASP", settings={"ENCUT": "600"})


def ase_level(**kwargs):
    settings = AseSettings(calculator="ase.calculators.lj:LennardJones", kwargs=kwargs)
    return AseLabeler(settings).level([bulk("Cu")])


def deepmd_level(path, content):
    path.write_bytes(content)
    return DeepmdLabeler(DeepmdSettings(model=str(path))).level([])


def test_levels_name_what_computes_the_labels(tmp_path):
    import ase

    level = ase_level(sigma=2.0)
    assert level.settings == {
        "calculator": "ase.calculators.lj:LennardJones", "version": ase.__version__, "sigma": "2.0",
    }
    first, second = (deepmd_level(tmp_path / f"{name}.pth", name.encode()) for name in "ab")
    assert first.settings["model_sha256"] != second.settings["model_sha256"]
    assert first == deepmd_level(tmp_path / "c.pth", b"a")


def test_labels_of_two_methods_are_not_mixed(tmp_path):
    levels = [
        VASP, ase_level(), ase_level(sigma=2.0), MockLabeler(MockSettings()).level([]),
        *(deepmd_level(tmp_path / f"{name}.pth", name.encode()) for name in "ab"),
    ]
    for k, one in enumerate(levels):
        for other in levels[:k]:
            with pytest.raises(FatalError, match="cannot be mixed"):
                join_levels([one, other])
        assert join_levels([one, one]) == one


def test_another_version_of_the_program_is_the_same_model(tmp_path):
    level = deepmd_level(tmp_path / "a.pth", b"a")
    older = level.model_copy(update={"settings": {**level.settings, "version": "3.0.0"}})
    assert join_levels([level, older]) == level


def test_weights_count():
    class Tensor:
        def __init__(self, values):
            self.values = np.array(values)

        def detach(self):
            return self

        def cpu(self):
            return self

        def numpy(self):
            return self.values

    class Model:
        def __init__(self, values):
            self.values = values

        def state_dict(self):
            return {"w": Tensor(self.values)}

    class Calculator:
        def __init__(self, values):
            self.model = Model(values)

    assert weights_hash(Calculator([1.0])) == weights_hash(Calculator([1.0])) != weights_hash(Calculator([2.0]))
    assert weights_hash(object()) == ""


def test_the_folder_of_a_potcar_must_name_its_title(tmp_path):
    (tmp_path / "Li_sv").mkdir()
    (tmp_path / "Li_sv/POTCAR").write_text(potcar_text("Li"))
    with pytest.raises(InputError, match="another data set than its name says: PAW_PBE Li 01Jan2000, not Li_sv"):
        find_potcar(tmp_path, "Li", {"Li": "Li_sv"})
    (tmp_path / "Li_sv/POTCAR").write_text(potcar_text("Li_sv"))
    assert find_potcar(tmp_path, "Li", {"Li": "Li_sv"}).symbol == "Li_sv"
