"""OPs that do the steps of one target for all targets of a project, see :mod:`dpa_sse.ops.runtime.over_targets`."""

from __future__ import annotations

from dpa_sse.ops.active.op import CollectRound, PrepareRound, RunRoundMd, SelectRound, TrainRound
from dpa_sse.ops.conductivity.op import Conductivity
from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.data.op import AddUserData, CollectTrajectories
from dpa_sse.ops.distillation.op import (
    EvaluateStudent,
    LabelSelfExploration,
    LabelWithTeacher,
    PrepareTeacher,
    RunSelfExploration,
    RunTeacherMd,
    TrainStudent,
    UseTeacher,
)
from dpa_sse.ops.labelers.op import LabelFrames, RunAimd
from dpa_sse.ops.md.op import PrepareMd, RunMd
from dpa_sse.ops.runtime.over_targets import OverTargets, over_targets
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.ops.structures.op import PerturbCells
from dpa_sse.ops.training.op import EvaluateVariants, TrainCurve, TrainVariant
from dpa_sse.ops.validation.op import CheckProduction, ChooseFrames, GateStudent


def _of(op: type[TaskOP]) -> type[OverTargets]:
    return over_targets(op, f"{op.__name__}OfTargets", __name__)


PerturbCellsOfTargets = _of(PerturbCells)
RunAimdOfTargets = _of(RunAimd)
CollectTrajectoriesOfTargets = _of(CollectTrajectories)
AddUserDataOfTargets = _of(AddUserData)
TrainVariantOfTargets = _of(TrainVariant)
EvaluateVariantsOfTargets = _of(EvaluateVariants)
TrainCurveOfTargets = _of(TrainCurve)
TrainRoundOfTargets = _of(TrainRound)
PrepareRoundOfTargets = _of(PrepareRound)
RunRoundMdOfTargets = _of(RunRoundMd)
SelectRoundOfTargets = _of(SelectRound)
CollectRoundOfTargets = _of(CollectRound)
PrepareTeacherOfTargets = _of(PrepareTeacher)
RunTeacherMdOfTargets = _of(RunTeacherMd)
LabelWithTeacherOfTargets = _of(LabelWithTeacher)
RunSelfExplorationOfTargets = _of(RunSelfExploration)
LabelSelfExplorationOfTargets = _of(LabelSelfExploration)
TrainStudentOfTargets = _of(TrainStudent)
UseTeacherOfTargets = _of(UseTeacher)
EvaluateStudentOfTargets = _of(EvaluateStudent)
GateStudentOfTargets = _of(GateStudent)
PrepareMdOfTargets = _of(PrepareMd)
RunMdOfTargets = _of(RunMd)
ChooseFramesOfTargets = _of(ChooseFrames)
LabelFramesOfTargets = _of(LabelFrames)
CheckProductionOfTargets = _of(CheckProduction)
ConductivityOfTargets = _of(Conductivity)


def of_targets(op: type[TaskOP]) -> type[OverTargets]:
    """Return the OP that does the steps of ``op`` for all targets.

    Raises
    ------
    PipelineError
        There is none.
    """
    found = globals().get(f"{op.__name__}OfTargets")
    if found is None:
        raise PipelineError(f"{op.__name__} cannot be done for several targets")
    return found  # type: ignore[no-any-return]
