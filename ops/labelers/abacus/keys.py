"""The keys of ABACUS' file INPUT: those of its documentation, without those of other calculations."""

from __future__ import annotations

from collections.abc import Iterator

from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.labelers.settings import AbacusSettings

_NAMES = """
suffix calculation esolver_type symmetry symmetry_prec symmetry_autoclose kpar bndpar latname psi_initializer
init_wfc init_chg mem_saver diago_proc nbspline kspacing min_dist_coef device precision stru_file kpoint_file
pseudo_dir orbital_dir read_file_dir ecutwfc ecutrho nx ny nz ndx ndy ndz pw_seed pw_diag_thr pw_diag_nmax
pw_diag_ndim pw_diag_subspace erf_ecut fft_mode erf_height erf_sigma nb2d lmaxmax lcao_ecut lcao_dk lcao_dr lcao_rmax
search_radius search_pbc bx by bz elpa_num_thread num_stream basis_type ks_solver nbands nelec nelec_delta nupdown
dft_functional xc_temperature pseudo_rcut pseudo_mesh nspin smearing_method smearing_sigma smearing_sigma_temp
mixing_type mixing_beta mixing_beta_mag mixing_ndim mixing_restart mixing_dmr mixing_gg0 mixing_gg0_mag mixing_gg0_min
mixing_angle mixing_tau mixing_dftu gamma_only printe scf_nmax scf_thr scf_ene_thr scf_thr_type scf_os_stop scf_os_thr
scf_os_ndim lspinorb noncolin soc_lambda cal_force cal_stress efield_flag gate_flag deepks_scf dft_plus_u orbital_corr
hubbard_u yukawa_potential yukawa_lambda uramping omc onsite_radius vdw_method vdw_s6 vdw_s8 vdw_a1 vdw_a2 vdw_d
vdw_abc vdw_C6_file vdw_C6_unit vdw_R0_file vdw_R0_unit vdw_cutoff_type vdw_cutoff_radius vdw_radius_unit
vdw_cutoff_period vdw_cn_thr vdw_cn_thr_unit berry_phase imp_sol
"""
KNOWN = frozenset(_NAMES.split())
OWN_KEYS = {
    "ecutwfc": "ecutwfc_Ry", "scf_thr": "scf_thr", "scf_nmax": "max_scf", "smearing_sigma": "smearing_eV",
    "smearing_sigma_temp": "smearing_eV", "nspin": "magnetization", "vdw_method": "vdw", "dft_functional": "functional",
    "pseudo_dir": "pseudo_dir", "orbital_dir": "orbital_dir", "basis_type": "basis", "kspacing": "kspacing",
}
"""Keys of ABACUS -> the key of the settings that sets them."""
SET_HERE = (
    "suffix", "calculation", "esolver_type", "stru_file", "kpoint_file", "cal_force", "cal_stress", "gamma_only",
    "init_wfc", "init_chg", "read_file_dir", "latname",
)
"""Keys that the labeler writes itself."""
HARMFUL = {
    "noncolin": "non-collinear magnetism is not supported", "lspinorb": "spin-orbit coupling is not supported",
    "efield_flag": "the forces would be those in a field", "gate_flag": "the forces would be those in a field",
    "deepks_scf": "labels would come from a network", "imp_sol": "labels are of periodic cells without a solvent",
    "precision": "labels need double precision", "berry_phase": "labels are single points",
    "scf_os_stop": "labels need self-consistency",
    **dict.fromkeys(("dft_plus_u", "orbital_corr", "hubbard_u", "yukawa_potential", "uramping"),
                    "the values of DFT+U count the elements of an input, which differ from cell to cell"),
}
"""Keys that would spoil labels, and why."""
NOT_PHYSICS = (
    "kpar", "bndpar", "psi_initializer", "mem_saver", "diago_proc", "device", "nb2d", "elpa_num_thread", "num_stream",
    "ks_solver", "mixing_type", "mixing_beta", "mixing_beta_mag", "mixing_ndim", "mixing_restart", "mixing_dmr",
    "mixing_gg0", "mixing_gg0_mag", "mixing_gg0_min", "mixing_angle", "mixing_tau", "mixing_dftu", "printe",
    "pw_diag_nmax", "pw_diag_ndim", "pw_seed", "bx", "by", "bz", "symmetry", "symmetry_prec", "symmetry_autoclose",
)
"""Keys that change how a calculation converges or is distributed, not its result."""


def key_problems(settings: AbacusSettings) -> Iterator[tuple[str, str]]:
    """Yield key and message of everything in ``keys`` that is not known, or that would spoil labels."""
    for key, value in settings.keys.items():
        text = key_value(value)
        if key in OWN_KEYS:
            yield key, f"use the key `{OWN_KEYS[key]}` of the labeler instead"
        elif key in SET_HERE:
            yield key, "is set by the labeler; remove it"
        elif key in HARMFUL and text not in ("0", "false", "f", "none", "double"):
            yield key, f"{HARMFUL[key]}; remove it"
        elif key not in KNOWN:
            yield key, f"ABACUS has no such key for a single point{did_you_mean(key, KNOWN)}"
        elif not text or "\n" in text or "#" in text:
            yield key, "is not a value for one line of INPUT"


def key_value(value: bool | int | float | str) -> str:
    """Return a value as INPUT has it."""
    return str(int(value)) if isinstance(value, bool) else str(value).strip()
