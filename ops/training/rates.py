"""Learning rates for the further training of a model that was trained elsewhere."""

from __future__ import annotations

from dpa_sse.ops.results.model import LearningRates, ModelInfo
from dpa_sse.ops.results.model_file import ModelFile
from dpa_sse.ops.training.settings import PretrainSettings, ResolvedTraining

START = {"se_e2_a": 1e-3, "se_atten": 1e-3, "se_atten_v2": 1e-3, "dpa1": 1e-3}
"""Start rates of DeePMD-kit's example inputs, for networks of one layer of atoms."""
START_OTHERS = 2e-4
"""That of DPA-2's published training, the lowest of those inputs: for all networks that pass messages (DPA-2, 3, 4)."""
LARGE, LARGE_SHARE = 10_000_000, 0.5
"""A larger network, by its number of parameters, gets this share of the rate."""
STOP_SHARE = 0.1
"""Rate at the end of a fine-tuning, relative to its start: with one that decays to 1e-5, a fine-tuning of 200 steps on
20 frames of Li6PS5Br ended with larger errors."""
FROM_SCRATCH = 1e-3
"""Rate of random weights, if the file does not record the rate of its training: that of the paper."""


def rates_of(model: ModelFile, branch: str) -> LearningRates:
    """Return the rates of the training of a model: those that its file records, else those usual for such a network.

    ``stop_lr`` is None for rates that are not recorded.
    """
    if model.learning_rate is not None:
        return model.learning_rate
    own = next(one for one in model.branches if not branch or one.name == branch)
    start = START.get(own.descriptor or "", START_OTHERS)
    return LearningRates(start_lr=start * (LARGE_SHARE if (own.n_parameters or 0) > LARGE else 1.0), stop_lr=None)


def own_rates(pretrain: ResolvedTraining, info: ModelInfo | None) -> LearningRates | None:
    """Return the rates from which a further training takes its own; None where the settings have them.

    Parameters
    ----------
    pretrain : ResolvedTraining
        With a preset other than the default one, or with ``start_lr``, it decides.
    info : ModelInfo or None
        Description of the model that is trained further.
    """
    default = PretrainSettings.model_fields["preset"].default
    if info is None or pretrain.preset != default or pretrain.start_lr is not None:
        return None
    return info.own_rates
