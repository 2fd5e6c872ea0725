"""The same seed gives the same cells: in another process, with other threads, on another processor."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpa_sse.ops.structures.build import build_cell, build_ensemble
from dpa_sse.ops.structures.extxyz import frame_text
from dpa_sse.ops.structures.interface import InterfaceOptions, build_interface
from dpa_sse.ops.structures.perturb import perturb_copies
from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings

SYSTEMS = {
    "library": {"structure": "Li7P3S11"},
    "skewed supercell": {"structure": "As2S3", "atoms": (80, 120)},
    "ordered argyrodite": {"structure": "Li6PS5Cl"},
    "anion disorder": {"structure": "Li6PS5Cl", "site_disorder": 0.5},
    "partial occupancy": {"structure": "Li10GeP2S12_disordered"},
    "random mixing": {"structure": "Li9.54Si1.74P1.44S11.7Cl0.3"},
    "quasi-random mixing": {"structure": "Li6PS5Cl0.5Br0.5", "mixing": "sqs"},
    "all arrangements": {"structure": "LiCl0.5Br0.5", "supercell": (2, 1, 1)},
}
# of the first 12 digits of SHA-256; a change of these changes what every user's seed means
GOLDEN = json.loads((Path(__file__).parent / "golden_cells.json").read_text(encoding="utf-8"))
OTHER_MACHINES = {
    "threads": {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "old processor": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_ICL AVX512_SPR",
    },
}


def made_cells() -> dict[str, str]:
    """Return a hash of every frame that is made: arrangements, their perturbed copies, an interface."""
    hashes = {}
    for name, settings in SYSTEMS.items():
        cells = build_ensemble(SystemSettings(name="a", **settings), Path(), 1, 2)
        copies = list(perturb_copies(cells[:1], PerturbSettings(count=2), 5))
        copies += perturb_copies(
            cells[:1], PerturbSettings(count=1, volume_preserving=True, distribution="normal", strain=0.05), 5
        )
        text = "".join(map(frame_text, cells + copies))
        hashes[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
    sides = [build_cell(SystemSettings(name=one, structure=one), Path(), 1) for one in ("LiCl", "Li2S")]
    made = build_interface(sides[0], sides[1], InterfaceOptions(max_strain=0.12))
    hashes["interface"] = hashlib.sha256(frame_text(made).encode()).hexdigest()[:12]
    return hashes


def test_cells_are_the_recorded_ones():
    assert made_cells() == GOLDEN


@pytest.mark.parametrize("kind", OTHER_MACHINES)
def test_cells_do_not_depend_on_the_machine(kind):
    code = "import json, warnings; warnings.simplefilter('ignore'); import runpy, sys; " \
           "print(json.dumps(runpy.run_path(sys.argv[1])['made_cells']()))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, __file__], env={**os.environ, **OTHER_MACHINES[kind]},
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )
    assert json.loads(done.stdout) == GOLDEN
