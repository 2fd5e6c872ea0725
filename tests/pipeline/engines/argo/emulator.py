"""A small Argo: runs a rendered workflow with one process per pod and a folder instead of the bucket.

It knows what our workflows use: steps, withParam, when, parameters and artifacts (raw, bucket key, from another step,
fromExpression, optional), output parameters with defaults, retries by the expression on the exit code, suspended steps.
Every pod sees its own ``/tmp``: paths below it are rewritten. As Argo does, it replaces ``{{...}}`` in texts and
``$$`` by ``$``.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TMP = "/tmp"  # noqa: S108  (as the pods see it)
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
Scope = dict[str, Any]
Artifact = dict[str, Any]


class PodFailedError(RuntimeError):
    pass


@dataclass
class Emulator:
    workflow: dict[str, Any]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    before_pod: Callable[[str, int], None] | None = None
    attempts: dict[str, int] = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.templates = {template["name"]: template for template in self.workflow["spec"]["templates"]}
        self.name = self.workflow["metadata"]["generateName"] + "emul1"
        self.bucket = self.folder / "bucket"
        self.bucket.mkdir(parents=True, exist_ok=True)

    def run(self) -> dict[str, Any]:
        """Run all; returns the artifacts of the last steps by their node names."""
        self.results: dict[str, Artifact] = {}
        self._template(self.workflow["spec"]["entrypoint"], {}, "")
        return self.results

    def artifact(self, key: str, name: str = "out") -> Path:
        """Return the unpacked artifact of the step with a key."""
        target = self.folder / "unpacked" / key / name
        if not target.exists():
            self._load(self.results[f"{key}/{name}"], target)
        return target

    def _template(self, name: str, arguments: dict[str, Any], node: str) -> dict[str, Any]:
        template = copy.deepcopy(self.templates[name])
        given = {item["name"]: item for item in arguments.get("parameters", [])}
        scope: Scope = {"workflow.name": self.name, "workflow.namespace": "dpa-sse"}
        for item in template.get("inputs", {}).get("parameters", []):
            value = given.get(item["name"], {}).get("value", item.get("value"))
            assert value is not None, f"{node}: parameter {item['name']} not supplied"
            scope[f"inputs.parameters.{item['name']}"] = str(value)
        artifacts = {item["name"]: item for item in arguments.get("artifacts", [])}
        for item in template.get("inputs", {}).get("artifacts", []):
            place = artifacts.get(item["name"], {}).get("place")
            if place is None:
                assert item.get("optional"), f"{node}: artifact {item['name']} not supplied"
                continue
            scope[f"inputs.artifacts.{item['name']}"] = place
        if "suspend" in template:
            return {"parameters": {}, "artifacts": {}}
        return self._pod(template, scope, node) if "script" in template else self._steps(template, scope)

    def _steps(self, template: dict[str, Any], scope: Scope) -> dict[str, Any]:
        for group in template["steps"]:
            for step in group:
                if "when" in step:
                    left, right = self._text(step["when"], scope).split(" == ")
                    if left != right:
                        continue
                items = json.loads(step["withParam"]) if "withParam" in step else [None]
                assert items, f"{step['name']}: fan-out over nothing"
                for item in items:
                    inner = scope if item is None else {**scope, "item": json.dumps(item)}
                    out = self._template(step["template"], self._arguments(step, inner), step["name"])
                    if item is None:
                        self._publish(step["name"], out, scope)
        outputs: dict[str, Any] = {"parameters": {}, "artifacts": {}}
        for item in template.get("outputs", {}).get("artifacts", []):
            outputs["artifacts"][item["name"]] = self._place(item, scope)
        return outputs

    @staticmethod
    def _publish(name: str, out: dict[str, Any], scope: Scope) -> None:
        for kind, values in out.items():
            scope.update({f"steps.{name}.outputs.{kind}.{key}": value for key, value in values.items()})

    def _arguments(self, step: dict[str, Any], scope: Scope) -> dict[str, Any]:
        arguments = copy.deepcopy(step.get("arguments", {}))
        for item in arguments.get("parameters", []):
            item["value"] = self._text(str(item["value"]), scope)
        for item in arguments.get("artifacts", []):
            item["place"] = self._place(item, scope)
        return arguments

    def _place(self, item: dict[str, Any], scope: Scope) -> Artifact:
        if "raw" in item:
            return {"raw": self._text(item["raw"]["data"], scope).replace("$$", "$")}
        if "s3" in item:
            return {"key": self._text(item["s3"]["key"], scope)}
        if "from" in item:
            return scope[item["from"].strip("{} ")]
        return self._expression(item["fromExpression"], scope)

    def _text(self, text: str, scope: Scope) -> str:
        def value(match: re.Match[str]) -> str:
            tag = match[1].strip()
            found = self._expression(tag[1:], scope) if tag.startswith("=") else scope[tag]
            assert isinstance(found, str), tag
            return found

        return re.sub(r"\{\{(.*?)\}\}", value, text)

    def _expression(self, text: str, scope: Scope) -> Any:
        text = text.strip()
        if text.startswith("(") and text.endswith(")"):
            text = text[1:-1]
        choice = re.fullmatch(r"(.+?) == '(\w+)' \? (.+?) : (.+)", text)
        if choice:
            return self._expression(choice[3] if self._expression(choice[1], scope) == choice[2] else choice[4], scope)
        return scope[re.sub(r"\['([\w-]+)'\]", r".\1", text)]

    def _pod(self, template: dict[str, Any], scope: Scope, node: str) -> dict[str, Any]:
        key = scope.get("inputs.parameters.dflow_key") or node + scope.get("inputs.parameters.dflow_group_key", "")
        scope["pod.name"] = f"{self.name}-{key}"
        limit = int(template["retryStrategy"]["limit"])
        for attempt in range(limit + 1):
            self.attempts[key] = attempt + 1
            if self.before_pod:
                self.before_pod(key, attempt)
            folder = self.folder / "pods" / f"{key}.{attempt}"
            code = self._start(template, scope, folder, key)
            if code == 0:
                return self._outputs(template, scope, folder, key)
            if code == 2:
                break
        raise PodFailedError(f"{key}: exit code {code}\n" + self.logs[key].read_text(errors="replace")[-3000:])

    def _start(self, template: dict[str, Any], scope: Scope, folder: Path, key: str) -> int:
        tmp = folder / "tmp"
        tmp.mkdir(parents=True)
        for item in template.get("inputs", {}).get("artifacts", []):
            place = scope.get(f"inputs.artifacts.{item['name']}")
            if place is not None:
                self._load(place, self._path(folder, item["path"]))
        script = template["script"]
        source = folder / "script"
        source.write_text(self._text(script["source"], scope).replace("$$", "$").replace(TMP, str(tmp)))
        variables = {item["name"]: item["value"].replace(TMP, str(tmp)) for item in script.get("env", [])}
        command = [sys.executable if part == "python3" else part for part in script["command"]]
        self.logs[key] = folder / "log"
        with self.logs[key].open("wb") as log:
            return subprocess.run(
                [*command, str(source)], cwd=tmp, stdout=log, stderr=subprocess.STDOUT, check=False,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{HERE}", **variables, **self.environment},
            ).returncode

    def _outputs(self, template: dict[str, Any], scope: Scope, folder: Path, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {"parameters": {}, "artifacts": {}}
        outputs = template.get("outputs", {})
        for item in outputs.get("parameters", []):
            if "valueFrom" in item:
                path = self._path(folder, item["valueFrom"]["path"])
                value = path.read_text() if path.exists() else item["valueFrom"]["default"]
            else:
                value = self._text(item["value"], scope)
            found["parameters"][item["name"]] = value
        for item in outputs.get("artifacts", []):
            path = self._path(folder, item["path"])
            if not path.exists():
                assert item.get("optional"), f"{key}: no artifact {item['name']}"
                continue
            place = {"key": self._save(item, path, scope)}
            found["artifacts"][item["name"]] = place
            self.results[f"{key}/{item['name']}"] = place
        shutil.rmtree(folder / "tmp")
        return found

    def _save(self, item: dict[str, Any], path: Path, scope: Scope) -> str:
        packed = "none" not in item.get("archive", {})
        default = f"{self.name}/{scope['pod.name']}/{item['name']}.tgz" if packed else (
            f"{self.name}/{scope['pod.name']}/{path.name}"
        )
        key = self._text(item["s3"]["key"], scope) if "s3" in item else default
        target = self.bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            with tarfile.open(target, "w") as archive:
                archive.add(path, arcname=path.name)
        elif path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)
        return key

    def _load(self, place: Artifact, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if "raw" in place:
            target.write_text(place["raw"])
            return
        source = self.bucket / place["key"]
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.suffix == ".tgz":
            with tarfile.open(source) as archive:
                archive.extractall(target.parent / ".unpack", filter="data")
            next((target.parent / ".unpack").iterdir()).rename(target)
            (target.parent / ".unpack").rmdir()
        else:
            shutil.copyfile(source, target)

    @staticmethod
    def _path(folder: Path, path: str) -> Path:
        return folder / path.lstrip("/")
