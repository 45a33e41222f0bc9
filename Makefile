# MyoWave: `make demo` shows the whole of it, `make test` proves it; both set everything up first.

VENV := .venv
BIN := $(VENV)/bin
READY := build/setup.done
BROWSER := build/browser.done
# Recordings of your own for the demo: make demo RECORDINGS=path/to/folder
RECORDINGS ?=

export PLATFORMIO_CORE_DIR ?= $(CURDIR)/build/platformio
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint bench setup clean help

demo: setup
	$(BIN)/python tools/demo.py $(if $(RECORDINGS),--recordings $(RECORDINGS))

test: setup $(BROWSER) lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check host tests tools
	$(BIN)/ruff format --check host tests tools
	$(BIN)/mypy
	$(BIN)/python tools/lint_firmware.py

bench: setup $(BROWSER)
	$(BIN)/python tools/bench.py

setup: $(READY)

# Runs again only when what is to be installed has changed.
$(READY): requirements.lock pyproject.toml tools/setup.sh tools/system_packages.sh
	bash tools/setup.sh $(VENV)
	@mkdir -p $(dir $@) && touch $@

# For the monitor's page; the demo needs no browser, so it does not wait for one.
$(BROWSER): tools/setup_browser.sh tools/system_packages.sh
	bash tools/setup_browser.sh
	@mkdir -p $(dir $@) && touch $@

clean:
	rm -rf build .pio $(VENV) host/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:
	@echo "make demo | test | bench | lint | setup | clean   (README.md tells more)"
