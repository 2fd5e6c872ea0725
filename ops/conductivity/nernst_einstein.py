"""From a diffusion coefficient to a conductivity: charges of the ions and the Nernst-Einstein relation."""

from __future__ import annotations

from collections.abc import Mapping

from dpa_sse.ops.conductivity.settings import ConductivitySettings

E_CHARGE = 1.602176634e-19
K_BOLTZMANN = 1.380649e-23
FORMAL_CHARGES = {
    "Li": 1.0, "Na": 1.0, "K": 1.0, "Ag": 1.0, "Cu": 1.0, "Mg": 2.0, "Ca": 2.0, "Zn": 2.0, "B": 3.0, "Al": 3.0,
    "Ga": 3.0, "La": 3.0, "Y": 3.0, "In": 3.0, "Si": 4.0, "Ge": 4.0, "Sn": 4.0, "Ti": 4.0, "Zr": 4.0, "P": 5.0,
    "Nb": 5.0, "Ta": 5.0, "O": -2.0, "S": -2.0, "Se": -2.0, "F": -1.0, "Cl": -1.0, "Br": -1.0, "I": -1.0,
}


def unusual_charges(charges: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the species with a charge that is not their formal one, with a remark for each."""
    return [
        (species, f"{charge:+g} e, but the formal charge of {species} is {FORMAL_CHARGES[species]:+g} e; "
         f"conductivities are {(charge / FORMAL_CHARGES[species]) ** 2:.3g} times those with it")
        for species, charge in charges.items() if species in FORMAL_CHARGES and charge != FORMAL_CHARGES[species]
    ]


def nernst_einstein(D_cm2_s: float, count: float, charge: float, volume_A3: float, temperature_K: float) -> float:
    """Return N (z e)^2 D / (V kB T) in mS/cm for one species.

    ``count`` is the number of carriers in the volume; the factor N is missing in the relation as some papers print it.
    """
    per_m3 = count / (volume_A3 * 1e-30)
    return per_m3 * (charge * E_CHARGE) ** 2 * D_cm2_s * 1e-4 / (K_BOLTZMANN * temperature_K) * 10


def charge_of(settings: ConductivitySettings, species: str) -> float:
    """Return the charge of a species in e: the configured one, else the formal one, else +1."""
    return settings.charges.get(species, FORMAL_CHARGES.get(species, 1.0))


def neutral_charges(counts: Mapping[str, int], settings: ConductivitySettings) -> dict[str, float] | None:
    """Return the charge of every species where all are known and the cell is neutral, else None.

    The current of all ions of a neutral cell does not depend on the frame of reference, which tests the framework
    frame.
    """
    charges = FORMAL_CHARGES | settings.charges
    if any(name not in charges for name in counts):
        return None
    known = {name: charges[name] for name in counts}
    return known if abs(sum(known[name] * count for name, count in counts.items())) < 1e-6 else None
