"""Manifests and Dockerfiles, without a cluster: pinned, without secrets, fit for Pod Security restricted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
IMAGES = ROOT / "images"
OWN_IMAGE = "localhost/dpa-sse-base"


def documents(*patterns: str) -> list[tuple[Path, dict[str, Any]]]:
    return [
        (path, document)
        for pattern in patterns
        for path in sorted(K8S.glob(pattern))
        if "local" not in path.relative_to(K8S).parts
        for document in yaml.safe_load_all(path.read_text())
        if document
    ]


def pod_specs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, document in documents("base/*.yaml", "components/*/*.yaml", "trial.yaml"):
        spec = document.get("spec") or {}
        if document.get("kind") in {"Deployment", "StatefulSet", "Job"}:
            yield f"{path.name}:{document['metadata']['name']}", spec["template"]["spec"]
        elif document.get("kind") == "Workflow":
            containers = [template["container"] for template in spec["templates"] if "container" in template]
            yield path.name, {"securityContext": spec["securityContext"], "containers": containers}


PODS = dict(pod_specs())


def test_every_kind_of_pod_is_looked_at() -> None:
    assert {name.rpartition(":")[2] for name in PODS} == {
        "workflow-controller", "argo-server", "minio", "postgres", "dpa-sse-install", "dpa-sse-install-postgres",
        "trial.yaml",
    }


@pytest.mark.parametrize("name", PODS)
def test_pods_meet_the_restricted_level(name: str) -> None:
    pod = PODS[name]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    for volume in pod.get("volumes", []):
        assert set(volume) - {"name"} <= {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "projected"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True


def test_no_secret_is_in_a_manifest() -> None:
    for path, document in documents("**/*.yaml"):
        if document.get("kind") == "Secret":  # a token that the cluster fills in
            made_at_installation = document["type"] != "kubernetes.io/service-account-token"
            assert not made_at_installation, f"{path}: secrets are made at installation"
            assert not {"data", "stringData"} & set(document), path
        assert not re.search(r"minioadmin|password: *\w", path.read_text()), path


def test_images_are_pinned_by_digest() -> None:
    pinned = {}
    for _, document in documents("components/*/kustomization.yaml"):
        pinned.update({image["name"]: image["newTag"] for image in document.get("images", [])})
    assert all(re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", tag) for tag in pinned.values())
    used = {
        container["image"].partition(":")[0]
        for pod in PODS.values()
        for container in [*pod["containers"], *pod.get("initContainers", [])]
    }
    assert used == {*pinned, OWN_IMAGE, "@IMAGE@"}


def test_overlays_take_the_image_of_this_version() -> None:
    from dpa_sse import __version__

    for path, document in documents("overlays/*/kustomization.yaml"):
        tag = next(image["newTag"] for image in document["images"] if image["name"] == OWN_IMAGE)
        assert tag == (f"{__version__}-cpu" if path.parent.name.startswith("kind") else __version__)


def test_account_of_the_workflows_may_report_results_and_nothing_else() -> None:
    roles = {
        document["metadata"]["name"]: document["rules"]
        for _, document in documents("base/*.yaml", "components/*/*.yaml")
        if document.get("kind") == "Role"
    }
    assert "dpa-sse-workflow" not in roles
    assert roles["dpa-sse-executor"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    assert not any(
        document["kind"].startswith("ClusterRole") for _, document in documents("base/*.yaml", "components/*/*.yaml")
        if "kind" in document
    )
    for name, rules in roles.items():
        for rule in rules:
            assert "*" not in [*rule["verbs"], *rule["resources"]], name
            if "secrets" in rule["resources"] and rule["verbs"] != ["create"]:
                assert rule["resourceNames"], f"{name} may read every secret"


def test_main_containers_get_no_token() -> None:
    accounts = {
        document["metadata"]["name"]: document
        for _, document in documents("base/*.yaml") if document.get("kind") == "ServiceAccount"
    }
    for name in ("dpa-sse-workflow", "dpa-sse-executor"):
        assert accounts[name]["automountServiceAccountToken"] is False
    trial = yaml.safe_load((K8S / "trial.yaml").read_text())["spec"]
    assert trial["automountServiceAccountToken"] is False
    assert trial["executor"] == {"serviceAccountName": "dpa-sse-executor"}


def test_pods_of_workflows_see_the_account_and_the_secrets_that_they_need() -> None:
    """What the policy refuses is tried on a cluster, in tests/cluster/test_admission.py."""
    policy, binding = (document for _, document in documents("base/admission.yaml"))
    lists = {one["name"]: yaml.safe_load(one["expression"]) for one in policy["spec"]["variables"][:2]}
    assert lists == {
        "accounts": ["dpa-sse-workflow"], "secrets": ["dpa-sse-s3", "dpa-sse-executor.service-account-token"]
    }
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"]["validationActions"] == ["Deny"]
    infrastructure = {"dpa-sse-minio-root", "dpa-sse-postgres"}
    named = re.findall(r"dpa-sse-[\w.-]+", " ".join(path.read_text() for path in K8S.glob("components/*/*.yaml")))
    assert infrastructure <= set(named)
    assert not infrastructure & set(lists["secrets"])


def test_the_trial_workflow_imports_what_there_is() -> None:
    templates = yaml.safe_load((K8S / "trial.yaml").read_text())["spec"]["templates"]
    [script] = next(one for one in templates if one["name"] == "write")["container"]["args"]
    imports = re.findall(r"^import \S+$", script, re.MULTILINE)
    assert "import dpa_sse.ops.runtime.task" in imports
    subprocess.run([sys.executable, "-c", "\n".join(imports)], check=True)


def fake_kubectl(folder: Path, context: str) -> dict[str, str]:
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "config current-context" ] && echo {context} && exit 0\nexit 1\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OVERLAY": ""}


@pytest.mark.parametrize(("context", "words"), [
    ("prod", "which overlay"), ("kind-dpa-sse", "Installing the overlay kind"), ("my-kind-cluster", "which overlay"),
])
def test_there_is_no_default_overlay_but_for_kind(tmp_path: Path, context: str, words: str) -> None:
    done = subprocess.run(
        [K8S / "setup"], capture_output=True, text=True, check=False, env=fake_kubectl(tmp_path / "bin", context)
    )
    assert done.returncode == 1  # the fake cluster does not answer
    assert words in done.stdout + done.stderr
    assert not (K8S / "local").exists() or "overlay" in done.stderr + done.stdout


def test_actions_are_pinned_by_commit() -> None:
    used = re.findall(r"uses: *(\S+)", (ROOT / ".github/workflows/check.yml").read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action


NAMES = ("runtime", "torch", "code", "base", "deepmd", "ase", "cp2k", "qe", "abacus", "vasp")


def build(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [IMAGES / "build", *arguments], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def dockerfile(name: str) -> str:
    made = build("--print", name)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.parametrize("name", NAMES)
def test_images_run_as_an_ordinary_user_and_know_no_index(name: str) -> None:
    text = dockerfile(name)
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users[-1] == "1000:1000"
    assert not re.search(r"index-url|find-links|trusted-host|pip\.conf|PIP_|http", text)
    for line in re.findall(r"pip install [^\\;&]*", text):
        assert "--require-hashes" in line or "wheels/*.whl" in line
    for label in ("version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text
    assert "SOFTWARE" not in re.sub(r"^# .{20,}$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES[3:])
def test_the_images_of_steps_differ_in_their_software_only(name: str) -> None:
    """The pipeline is the last layer of each, so that a change of the code changes nothing else."""
    software = IMAGES / name / "software"
    before, after = (IMAGES / "step" / "Dockerfile").read_text().split("# SOFTWARE\n")
    own = software.read_text() if software.exists() else ""
    assert bool(own) == (name != "base")
    assert dockerfile(name) == before + own + after


def test_all_images_are_built_in_an_order_that_works(tmp_path: Path) -> None:
    tool, log = tmp_path / "podman", tmp_path / "log"
    tool.write_text(f'#!/bin/sh\necho "$*" >> {log}\n')
    tool.chmod(0o755)
    assert build(CONTAINER_TOOL=str(tool), VARIANT="cpu", TAG="1", PREFIX="reg/").returncode == 0
    calls = [line for line in log.read_text().splitlines() if line.startswith("build ")]
    tags = [re.findall(r"--tag reg/dpa-sse-(\w+):1", line)[0] for line in calls]
    assert tuple(tags) == NAMES
    for number, line in enumerate(calls):
        needed = re.findall(r"(?:PARENT|CODE)=reg/dpa-sse-(\w+):1", line)
        assert set(needed) <= set(tags[:number])
        assert len(needed) == (0 if number == 0 else 1 if number < 3 else 2)
        assert "--layers" in line
    assert [tag for tag, line in zip(tags, calls, strict=True) if "VARIANT=cpu" in line] == ["torch", "deepmd"]
    context = calls[-1].split()[-1]
    assert context != "."
    assert not Path(context).exists()  # a copy that is removed
    unknown = build("nonsense", CONTAINER_TOOL=str(tool))
    assert unknown.returncode == 2
    assert "no image nonsense; there are: runtime" in unknown.stderr


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_a_bill_of_materials_lists_what_the_python_of_the_image_has(tmp_path: Path, name: str) -> None:
    """The tool runs the script here instead of in an image, so that the list can be compared with this installation."""
    tool = tmp_path / name
    tool.write_text(f"""#!/bin/sh
case "$1 $2" in
  *inspect*) echo sha256:1234 ;;
  from*) echo container ;;
  run*) while [ "$1" != python3 ]; do shift; done; shift; exec {sys.executable} "$@" ;;
esac
""")
    tool.chmod(0o755)
    made = build("base", CONTAINER_TOOL=str(tool), VARIANT="cpu", TAG="1", SBOM=str(tmp_path / "bills"))
    assert made.returncode == 0, made.stderr
    [file] = (tmp_path / "bills").iterdir()
    assert file.name == "dpa-sse-base-1.cdx.json"
    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["version"] == "sha256:1234"
    urls = {part["purl"] for part in bill["components"]}
    assert len(urls) == len(bill["components"])
    for package in ("numpy", "torch", "dpdata"):
        assert f"pkg:pypi/{package}@{version(package)}".replace("+", "%2B") in urls
    if shutil.which("dpkg-query"):
        assert any(url.startswith("pkg:deb/debian/libc6@") for url in urls)


def test_base_image_is_pinned() -> None:
    text = (IMAGES / "runtime" / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((IMAGES / "requirements").glob("*.in")), ids=lambda path: path.stem)
def test_images_hold_the_versions_that_the_tests_ran_with(path: Path) -> None:
    def pins(file: Path) -> set[tuple[str, str]]:
        return set(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", file.read_text(), re.MULTILINE))

    listed = pins(path.with_suffix(".txt"))
    assert listed
    assert listed <= pins(ROOT / "requirements.txt")
    text = path.with_suffix(".txt").read_text()
    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")
