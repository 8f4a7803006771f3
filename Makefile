# Two commands matter: `make demo` and `make test`.  Each sets up all that it needs.
# On a machine where plain torch would bring CUDA packages, name the CPU index:
#   make demo TORCH_INDEX="--index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
STAMPS := .stamps
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SYSTEM_PACKAGES := orthanc orthanc-dicomweb dcmtk dicom3tools plastimatch chromium postgresql libpango-1.0-0 libpangoft2-1.0-0 poppler-utils rsyslog rsyslog-openssl

.PHONY: demo test check acceptance peers bench train clean help

help:
	@echo "make demo        the main job on a synthetic patient, no server needed"
	@echo "make test        every check and test (installs what they need)"
	@echo "make acceptance  the tests at their stated sizes"
	@echo "make peers       the peers of the benchmark, each in its own environment"
	@echo "make bench       speed and overhead beside the named peers"
	@echo "make train       the training recipe of the contouring network (hours)"

$(STAMPS)/venv:
	@mkdir -p $(STAMPS)
	@command -v $(PYTHON) >/dev/null || { echo "osteon needs Python 3.11 ($(PYTHON) not found); set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "osteon needs Python 3.11; set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3.11-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(STAMPS)/core: $(STAMPS)/venv pyproject.toml constraints.txt
	@echo "installing pinned dependencies (first time: some minutes)"
	$(BIN)/python -m pip install -q torch==2.13.0 $(TORCH_INDEX)
	$(BIN)/python -m pip install -q -e . -c constraints.txt
	@touch $@

$(STAMPS)/dev: $(STAMPS)/core
	$(BIN)/python -m pip install -q -e '.[dev]' -c constraints.txt
	@touch $@

$(STAMPS)/system: Makefile .ci/system-packages
	@mkdir -p $(STAMPS)
	@sh .ci/system-packages $(SYSTEM_PACKAGES)
	@touch $@

demo: $(STAMPS)/core
	$(BIN)/osteon demo

check: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMPS)/dev $(STAMPS)/system check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not acceptance"

acceptance: $(STAMPS)/dev $(STAMPS)/system
	$(BIN)/python -m pytest -m acceptance

peers: $(STAMPS)/dev
	$(BIN)/python -m adapters.benchmarks.environments

bench: $(STAMPS)/dev
	$(BIN)/osteon bench

train: $(STAMPS)/dev
	$(BIN)/python -m models.training.contouring train

clean:
	rm -rf $(VENV) $(STAMPS) build dist *.egg-info
