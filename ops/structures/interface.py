"""Slabs, and interfaces of two crystals with matched lattices (pymatgen's coherent interfaces).

Meant for models of electrolyte | Li metal and electrolyte | Li2S: the smallest matching area, one of the terminations,
periodic in all directions. Terminations with the smallest dipole moment (by formal charges) come first, among equal
ones those that cut the fewest covalent bonds: if there is a plane between the PS4 tetrahedra of a thiophosphate, the
surface does not cut through any of them. With ``vacuum_A`` 0 the cell holds two
interfaces (film on substrate and substrate on film), as needed for bulk-like MD; the second has the same gap.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.bonds import covalent_pairs
from dpa_sse.ops.structures.check import check_cell
from dpa_sse.ops.structures.polarity import dipoles, polarity
from dpa_sse.ops.structures.rounding import round_cell

if TYPE_CHECKING:
    from ase import Atoms

Miller = tuple[int, int, int]
LARGEST_AREA_A2 = 400.0
LARGEST_CELL = 3000
LARGEST_INDEX = 4  # the search for the cell of a higher-index surface takes minutes
LEAST_VACUUM_A = 3.0
SAME_PLANE_A = 0.1  # planes closer than this are one termination; a larger value loses those that cut no bond


@dataclass(frozen=True)
class InterfaceOptions:
    """Geometry of an interface; lengths in Angstrom, strains as shares."""

    film_miller: Miller = (0, 0, 1)
    substrate_miller: Miller = (0, 0, 1)
    film_thickness_A: float = 12.0
    substrate_thickness_A: float = 12.0
    gap_A: float = 2.5
    vacuum_A: float = 0.0
    max_strain: float = 0.05
    max_area_A2: float = LARGEST_AREA_A2
    termination: int = 0


def _silent(_: str) -> None:
    """Leave out progress."""


def build_slab(
    atoms: Atoms, miller: Miller, thickness_A: float, vacuum_A: float, termination: int = 0,
    tell: Callable[[str], None] = _silent,
) -> Atoms:
    """Return a slab in the middle of its cell; the third lattice vector is the surface normal.

    Parameters
    ----------
    atoms : Atoms
        Conventional, ordered cell.
    miller : tuple of int
        Surface.
    thickness_A : float
        Smallest thickness of the slab, Angstrom, rounded up to whole layers (the distance between the outermost atoms
        can be slightly less).
    vacuum_A : float
        Distance of the outermost atoms to those of the next image, Angstrom.
    termination : int
        Number of the distinct termination; those with the smallest dipole moment come first, then those that cut the
        fewest covalent bonds.
    tell : callable
        Called with a line on the progress.

    Raises
    ------
    InputError
        There is no such surface or termination, or atoms overlap.
    """
    from pymatgen.core.surface import SlabGenerator

    _check_plane(miller)
    if thickness_A <= 0 or vacuum_A < LEAST_VACUUM_A:
        raise InputError(
            f"a slab needs a positive thickness and a vacuum of at least {LEAST_VACUUM_A:g} Angstrom, not "
            f"{thickness_A:g} and {vacuum_A:g}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = SlabGenerator(
            _structure(atoms), miller, thickness_A, vacuum_A, center_slab=True, primitive=True, reorient_lattice=True,
        )
        layer = generator.oriented_unit_cell
        height = layer.volume / float(np.linalg.norm(np.cross(*layer.lattice.matrix[:2])))
        _check_size(len(layer) * math.ceil(thickness_A / height))
        tell(f"cutting {_name(atoms)} {_indices(miller)}")
        slabs = generator.get_slabs()
    several = [
        _in_order(_with_vacuum(_atoms(one), vacuum_A)) for one in sorted(slabs, key=lambda one: round(one.shift, 6))
    ]
    broken, result = _choose(_ranked(several, [atoms]), termination)
    result.info = {
        **_provenance([atoms]), "operation": f"slab {_indices(miller)}, termination {termination} of {len(slabs)}",
        "cut_bonds": broken, "dipole_e_per_A": _dipole_text(result, [atoms]),
    }
    return _checked(result)


def build_interface(
    film: Atoms, substrate: Atoms, options: InterfaceOptions, tell: Callable[[str], None] = _silent
) -> Atoms:
    """Return the interface of two crystals with the smallest common area; the film is strained.

    Parameters
    ----------
    film, substrate : Atoms
        Conventional, ordered cells; the substrate keeps its lattice.
    options : InterfaceOptions
        Surfaces, thicknesses, gap, limits of strain and area.
    tell : callable
        Called with a line on the progress.

    Returns
    -------
    Atoms
        Substrate below, film above, third lattice vector along the normal. ``info``: parent, operation, composition,
        matching_area_A2 (of the cell), strain (largest principal strain of the film), terminations, cut_bonds,
        dipole_e_per_A (substrate and film, by formal charges); the array ``part`` is 0 in the substrate and 1 in
        the film.

    Raises
    ------
    InputError
        There is no match within the limits, no such termination, or atoms overlap.
    """
    from pymatgen.analysis.interfaces.coherent_interfaces import CoherentInterfaceBuilder
    from pymatgen.analysis.interfaces.zsl import ZSLGenerator

    _check(options)
    search = ZSLGenerator(
        max_area_ratio_tol=options.max_strain, max_length_tol=options.max_strain, max_angle_tol=options.max_strain,
        max_area=options.max_area_A2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tell("searching common lattices")
        builder = CoherentInterfaceBuilder(
            _structure(substrate), _structure(film), options.film_miller, options.substrate_miller, zslgen=search,
            filter_out_sym_slabs=True, termination_ftol=SAME_PLANE_A, label_index=True,
        )
        # the search limits lengths, angle and area separately
        matches = [one for one in builder.zsl_matches if _strain(one) <= options.max_strain]
        if not matches:
            raise InputError(
                f"no common lattice of {_name(film)} {_indices(options.film_miller)} and {_name(substrate)} "
                f"{_indices(options.substrate_miller)} within {options.max_strain:.0%} and {options.max_area_A2:g} "
                "square Angstrom: allow more strain or a larger area, or try other surfaces"
            )
        # smallest area first, then smallest strain; the order of the matches themselves is not fixed
        best = min(matches, key=lambda one: (round(_area(one.substrate_sl_vectors), 3), round(_strain(one), 6),
                                             np.round(one.film_vectors, 4).ravel().tolist()))
        area = _area(best.substrate_sl_vectors)
        _check_size(area * (
            options.substrate_thickness_A * len(substrate) / substrate.get_volume()
            + options.film_thickness_A * len(film) / film.get_volume()
        ))
        builder.zsl_matches = [best]
        several = []
        for number, ends in enumerate(sorted(builder.terminations), start=1):
            tell(f"termination {number} of {len(builder.terminations)}")
            several.append(_terminated(builder, ends, options))
    broken, result = _choose(_ranked(several, [substrate, film]), options.termination)
    ends = result.info["ends"]
    result.info = {
        **_provenance([substrate, film]),
        "operation": f"interface {_indices(options.substrate_miller)} | {_indices(options.film_miller)}, "
                     f"termination {options.termination} of {len(builder.terminations)}",
        "cut_bonds": broken, "dipole_e_per_A": _dipole_text(result, [substrate, film]),
        "terminations": " | ".join(reversed(ends)),
        "matching_area_A2": round(area, 4),
        "strain": round(_strain(best), 6),
    }
    return _checked(result)


def _terminated(builder: Any, ends: tuple[str, str], options: InterfaceOptions) -> Atoms:
    """Return the interface with one pair of terminations."""
    above = options.vacuum_A or options.gap_A
    made = next(iter(builder.get_interfaces(
        ends, gap=options.gap_A, vacuum_over_film=above,
        film_thickness=options.film_thickness_A, substrate_thickness=options.substrate_thickness_A, in_layers=False,
    )))
    # pymatgen centres the mean of the atoms, which can push the top of the film through the top of the cell
    up = above / 2 / made.lattice.c - float(made.frac_coords[:, 2].min())
    made.translate_sites(list(range(len(made))), [0.0, 0.0, up], to_unit_cell=False)
    result = _atoms(made)
    result.set_array("part", np.isin(np.arange(len(made)), made.film_indices).astype(int))
    result = _in_order(result)
    result.info = {"ends": ends}
    return result


def _ranked(several: list[Atoms], crystals: list[Atoms]) -> list[tuple[int, Atoms]]:
    """Return the number of covalent bonds that surfaces cut with their cells: smallest dipole first, then fewest."""
    ranked = sorted(
        ((polarity(cell, crystals), _cut_bonds(cell, crystals), cell) for cell in several), key=lambda one: one[:2]
    )
    return [(cuts, cell) for _, cuts, cell in ranked]


def _dipole_text(atoms: Atoms, crystals: list[Atoms]) -> str:
    """Return the dipole moment of each part as text, e/Angstrom."""
    return " | ".join("unknown" if one is None else f"{one + 0.0:.3f}" for one in dipoles(atoms, crystals))


def _cut_bonds(atoms: Atoms, crystals: list[Atoms]) -> int:
    """Return the number of missing covalent bonds, each part compared with its crystal."""
    part = atoms.arrays.get("part", np.zeros(len(atoms), int))
    missing = 0.0
    for number, crystal in enumerate(crystals):
        piece = atoms[part == number]
        elements = np.array(crystal.get_chemical_symbols())
        bulk, _, _, _ = covalent_pairs(crystal)
        centres, _, _, _ = covalent_pairs(piece)
        for element in set(elements[bulk].tolist()):
            usual = float((elements[bulk] == element).sum() / (elements == element).sum())
            found = sum(piece.symbols[k] == element for k in centres)
            missing += usual * float((piece.symbols == element).sum()) - found
    return max(0, round(missing))


def _check(options: InterfaceOptions) -> None:
    """Refuse options without a meaning."""
    _check_plane(options.film_miller)
    _check_plane(options.substrate_miller)
    if min(options.film_thickness_A, options.substrate_thickness_A) <= 0:
        raise InputError("the thickness of film and substrate must be positive")
    if options.gap_A < 1.0 or options.vacuum_A < 0:
        raise InputError(
            f"the gap must be at least 1 Angstrom (not {options.gap_A}), the vacuum at least 0 (not {options.vacuum_A})"
        )
    if not 0 < options.max_strain <= 0.3 or options.max_area_A2 <= 0:
        raise InputError("max_strain must be between 0 and 0.3, and the area positive")


def _check_plane(miller: Miller) -> None:
    if not any(miller):
        raise InputError("the Miller indices 0 0 0 do not define a plane")
    if max(map(abs, miller)) > LARGEST_INDEX:
        raise InputError(f"the Miller indices {_indices(miller)} are too large: use at most {LARGEST_INDEX}")


def _check_size(atoms: float) -> None:
    """Refuse a cell that would take very long to build."""
    if atoms > LARGEST_CELL:
        raise InputError(
            f"the cell would hold about {atoms:.3g} atoms, more than {LARGEST_CELL}: use thinner slabs, a smaller area "
            "or another surface"
        )


def _area(vectors: Any) -> float:
    return float(np.linalg.norm(np.cross(*np.asarray(vectors, float))))


def _with_vacuum(slab: Atoms, vacuum_A: float) -> Atoms:
    """Return a slab (in the middle of its cell, a and b in the xy plane) with c along z and the given vacuum."""
    height = slab.positions[:, 2]
    low, high = float(height.min()), float(height.max())
    slab.set_cell([*slab.cell.array[:2], [0.0, 0.0, high - low + vacuum_A]])
    slab.positions[:, 2] += vacuum_A / 2 - low
    slab.wrap(eps=1e-6)
    return round_cell(slab)


def _strain(match: Any) -> float:
    """Return the largest principal strain that puts the film vectors of a match onto those of the substrate."""
    film, substrate = (_plane(vectors) for vectors in (match.film_sl_vectors, match.substrate_sl_vectors))
    stretch = np.linalg.svd(np.linalg.solve(film, substrate), compute_uv=False)
    return float(np.abs(stretch - 1).max())


def _plane(vectors: Any) -> np.ndarray:
    """Return two vectors in coordinates of their plane, shape (2, 2), the first one along x."""
    one, two = np.asarray(vectors, float)
    length = np.linalg.norm(one)
    along = one @ two / length
    return np.array([[length, 0.0], [along, np.sqrt(max(two @ two - along**2, 0.0))]])


def _choose(options: list[Any], number: int) -> Any:
    if not 0 <= number < len(options):
        raise InputError(f"there are {len(options)} terminations, numbered from 0; {number} does not exist")
    return options[number]


def _structure(atoms: Atoms) -> Any:
    from pymatgen.io.ase import AseAtomsAdaptor

    bare = atoms.copy()
    bare.info, bare.calc = {}, None
    return AseAtomsAdaptor.get_structure(bare)


def _atoms(structure: Any) -> Atoms:
    """Return the structure with its third axis along z."""
    from ase import Atoms

    atoms = Atoms([site.specie.symbol for site in structure], scaled_positions=structure.frac_coords % 1.0,
                  cell=structure.lattice.matrix, pbc=True)
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    round_cell(atoms)
    atoms.wrap(eps=1e-6)
    return round_cell(atoms)


def _in_order(atoms: Atoms) -> Atoms:
    """Return the atoms substrate first, lithium first, then by element and height (pymatgen has no fixed order)."""
    part = atoms.arrays.get("part", np.zeros(len(atoms), int))
    places = np.round(atoms.positions, 3) + 0.0
    keys = [
        (one, symbol != "Li", symbol, *place[::-1])
        for one, symbol, place in zip(part.tolist(), atoms.get_chemical_symbols(), places.tolist(), strict=True)
    ]
    return atoms[sorted(range(len(atoms)), key=keys.__getitem__)]


def _name(atoms: Atoms) -> str:
    return str(atoms.info.get("system", atoms.get_chemical_formula("hill", empirical=True)))


def _provenance(sources: list[Atoms]) -> dict[str, Any]:
    names = [_name(one) for one in sources]
    parents = [str(one.info.get("structure", _name(one))) for one in sources]
    drawn = {key: one.info[key] for one in sources for key in ("seed", "site_disorder") if key in one.info}
    return {"seed": 0, **drawn, "system": "-".join(names), "parent": " | ".join(parents)}


def _indices(miller: Miller) -> str:
    return "(" + " ".join(map(str, miller)) + ")"


def _checked(atoms: Atoms) -> Atoms:
    """Check a cell and add its composition."""
    _check_size(len(atoms))
    problems = check_cell(atoms)
    if problems:
        raise InputError("; ".join(problems) + ": use a wider gap or another termination")
    atoms.info.update(structure=atoms.info["parent"], composition=atoms.get_chemical_formula("hill"))
    return atoms
