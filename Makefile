# Two commands do all the set-up on a machine with Python 3.11+ and make:
#   make demo    the whole life of a token, on the simulator and the embedded server
#   make test    the tests
# Everything else needs more (root, Debian packages, minutes) and says so where it is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The tests start hundreds of processes, and each would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint test-foreign test-crash test-explain test-udev test-packaging test-pcsc test-kernel test-kernel-families test-service test-web bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.base
	@$(BIN)/provision demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Other people's programs judge the token. Needs root on Debian for the first installation.
test-foreign: $(VENV)/.dev
	@sh tests/foreign/install.sh
	@$(BIN)/python -m pytest -n 2 -m foreign tests/foreign $(PYTEST_ARGS)

# Every power cut and hundreds of SIGKILLs: minutes.
test-crash: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m crash tests/crash $(PYTEST_ARGS)

# Everything that can go wrong with a token's codes, many times each: no cause is named wrongly. Minutes.
test-explain: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m explain tests/explain $(PYTEST_ARGS)

# The real udev applies the shipped rules to recorded tokens. Needs root: the tests see a /dev and a /run of their own.
test-udev: $(VENV)/.dev
	@sh tests/udev/install.sh
	@$(BIN)/python -m pytest -m udev tests/udev $(PYTEST_ARGS)

# Debian's pcscd and unmodified ykmans drive the token. Needs root: each pcscd gets a network and a /run of its own.
test-pcsc: $(VENV)/.dev
	@sh tests/pcsc/install.sh
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[pcsc]'
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m pcsc tests/pcsc tests/families $(PYTEST_ARGS)

# The wheel in bare environments, without Unix, and in a bare root where the commands of ci/ run as an unprivileged user.
# Needs root.
test-packaging: $(VENV)/.dev
	@sh tests/packaging/install.sh
	@$(BIN)/python -m pytest -m packaging tests/packaging $(PYTEST_ARGS)

# The server over HTTP as a process: crowds, kills, restarts, and Schemathesis, which asks what its OpenAPI page lets it think of.
test-service: $(VENV)/.dev
	@PYTHON=$(BIN)/python sh tests/service/install.sh
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m service tests/service tests/servers $(PYTEST_ARGS)

# A Linux with USB, in a guest under QEMU, enumerates the token. Needs root on Debian for the first installation.
test-kernel: $(VENV)/.dev
	@PYTHON=$(BIN)/python sh tests/kernel/install.sh
	@$(BIN)/python -m pytest -m kernel tests/kernel $(PYTEST_ARGS)

# The conformance suite in that guest, one token of each family: minutes.
test-kernel-families: $(VENV)/.dev
	@PYTHON=$(BIN)/python sh tests/kernel/install.sh
	@$(BIN)/python -m pytest -m kernel tests/kernel/guest/test_enumeration.py tests/families $(PYTEST_ARGS)

# A real Chromium on the server's pages. Needs root on Debian for the first installation.
test-web:
	@PYTHON=$(PYTHON) sh tests/web/install.sh
	@.lanes/web/bin/python -m pytest -m web tests/web $(PYTEST_ARGS)

bench: $(VENV)/.dev
	@$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .lanes build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hwtoken needs Python 3.11 or newer; $(PYTHON) is older or missing." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Making the virtual environment in $(VENV) (once)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null || \
	  $(PYTHON) -m venv --clear $(VENV)  # it was cut short
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
