"""OP that writes the report at the end of the DAG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.core.environment import RUN
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.results.status import LEFT_OUT
from dpa_sse.ops.runtime.over_targets import TargetsSettings, share_of, sources
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.report.gather import FinishedSteps, report_inputs


class ReportSettings(TaskSettings):
    """The whole project, for the configuration that the page shows."""

    config: Project


class TargetReportSettings(ReportSettings, TargetsSettings):
    """The whole project, and what each target has."""


class Report(TaskOP):
    """The self-contained HTML report, its figures with a CSV each, and ``summary.json``."""

    artifacts = (
        "training_data?", "pretrained?", "errors?", "teacher_data?", "student?", "student_errors?", "gates?",
        "conductivity?", "self_check?", "corrected_errors?", "rounds?",
        "variants*?", "trajectories*?", "curve*?",
    )
    resource_class = "analysis"
    html_page = "report.html"
    cached = False  # it shows times of this run
    settings_class = ReportSettings

    def run(self, out: Path, settings: ReportSettings, **inputs: Any) -> None:
        """Write ``report.html``, ``summary.json``, ``figures/`` and ``si/``."""
        from dpa_sse.pipeline.config.load import resolved_yaml
        from dpa_sse.pipeline.report.build import build_report

        config = out / "config.resolved.yaml"
        write_text(config, resolved_yaml(settings.config))
        build_report(report_inputs(FinishedSteps(**inputs), config, RUN.read(), out), out)


class ReportOnTargets(TaskOP):
    """The report on a project with many targets: a page for all of them, and one for each."""

    artifacts = sources(Report)
    resource_class = "analysis"
    html_page = "report.html"
    cached = False
    settings_class = TargetReportSettings

    def run(self, out: Path, settings: TargetReportSettings, **inputs: Any) -> None:
        """Write ``report.html``, ``summary.json``, ``figures/`` and ``targets/NAME/`` with the same of each target."""
        from dpa_sse.pipeline.config.load import resolved_yaml
        from dpa_sse.pipeline.report.build import build_report
        from dpa_sse.pipeline.report.targets import project_inputs

        config = out / "config.resolved.yaml"
        write_text(config, resolved_yaml(settings.config))
        shares = {
            one.target: share_of(Report, settings, one, inputs, tolerant=True, wanted=("gates",))
            for one in settings.members
        }
        found = {
            target: FinishedSteps(**{name: value for name, value in share.inputs.items() if name != "settings"})  # type: ignore[arg-type]  # those of the OP
            for target, share in shares.items()
        }
        lost = {target: share.left_out.removeprefix(LEFT_OUT) for target, share in shares.items()}
        build_report(project_inputs(settings.config, found, lost, config, RUN.read(), out), out)
