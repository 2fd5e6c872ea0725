# `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= configs/quickstart.yaml
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup run accept test coverage test-slow test-dft slurm-test lint format lock bench clean \
  images images-load images-lock cluster-setup cluster-check cluster-templates cluster-test kind-up kind-test kind-down

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create .venv from the pinned requirements

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; specify it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@if [ ! -x $(BIN)/python ]; then $(PYTHON) -m venv $(VENV); fi
	@echo "Installing the pinned requirements (about 7 GB, a few minutes) ..."
	$(BIN)/pip install -q --require-hashes -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP)  ## run the quickstart, or CONFIG=my.yaml, and print the path of the report
	$(BIN)/dpa-sse run $(CONFIG)

accept: $(STAMP)  ## check the results and times of the finished quickstart
	$(BIN)/python -m tests.accept_quickstart runs/quickstart

# Two processes by default: tests that run MD or training start processes as well. JOBS=0: a single one, for a debugger.
test: $(STAMP)  ## run the tests, or TESTS="tests/ops/md ..."
	$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder $(TESTS)

coverage: $(STAMP)  ## run the tests and measure which lines and branches they reach
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(TESTS)

test-slow: $(STAMP)  ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-dft: $(STAMP)  ## run the tests of density functional theory (apt-get install cp2k quantum-espresso)
	@for program in cp2k pw.x; do command -v $$program >/dev/null \
	  || { echo "$$program is not installed (Debian, Ubuntu: apt-get install cp2k quantum-espresso)"; exit 2; }; done
	$(BIN)/python -m pytest -m dft

lint: $(STAMP)  ## style, types, import rules, wording
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.words

format: $(STAMP)  ## sort imports and apply the safe corrections of ruff
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## measure speed and accuracy against the bars of the project
	$(BIN)/python -m bench

lock:  ## pin the requirements again (needs uv)
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
	  requirements.in -o requirements.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
	  requirements-dev.in -o requirements-dev.txt

# Container images: VARIANT=cpu for machines without GPU, IMAGES="base deepmd" for some of them (images/build).
images:  ## build the container images and print their sizes (docker, podman or buildah)
	images/build $(IMAGES)

images-load:  ## load them into a cluster on this machine: TARGET=kind or containerd
	images/load $(or $(TARGET),kind) $(IMAGES)

images-lock:  ## pin the packages of the images again (needs uv)
	images/requirements/lock

# The Slurm is that of the PATH, or one that SLURM_HARNESS brings up on this machine (as root).
slurm-test: $(STAMP)  ## run the tests that need Slurm
	.ci/slurm $(or $(SLURM_HARNESS),../shared/slurm) $(BIN)/python -m pytest -m slurm $(or $(TESTS),tests/slurm)

# The cluster is that of KUBECONFIG. OVERLAY is kind, gpu or external-s3 (see k8s/setup for other options).
cluster-setup:  ## install namespace, rights, Argo, MinIO, artifact repository, quotas
	k8s/setup $(OVERLAY)

cluster-check:  ## check that installation and report what is missing
	k8s/check

cluster-templates: $(STAMP)  ## install the stages of CONFIG as WorkflowTemplates, for argo submit --from
	DPA_SSE=$(BIN)/dpa-sse k8s/templates $(CONFIG)

cluster-test: $(STAMP)  ## run the tests that need a cluster
	k8s/check
	$(BIN)/python -m pytest -m cluster $(or $(TESTS),tests/cluster)

# A single-machine cluster with docker and kind; sets the current context of the kubeconfig.
kind-up:  ## start a kind cluster with everything in it
	kind get clusters | grep -qx dpa-sse || kind create cluster --name dpa-sse --config k8s/kind/cluster.yaml --wait 120s
	VARIANT=cpu images/build runtime torch code base deepmd ase
	VARIANT=cpu images/load kind base deepmd ase
	k8s/setup kind

kind-test: cluster-test  ## run the cluster tests on it

kind-down:  ## remove it
	kind delete cluster --name dpa-sse

clean:  ## remove caches (not .venv, not runs)
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache *.egg-info
