# Two commands set up everything on a machine with Python 3.11 to 3.13 and make:
#   make demo   three nights against the sandbox        make test   all tests
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13 3,$(if $(shell command -v python$(v)),python$(v))))
VENV   ?= .venv
EXTRAS ?= dev,postgres
BIN     = $(VENV)/bin
HOME_DIR = $(CURDIR)/.belvedere
export BELVEDERE_HOME ?= $(HOME_DIR)
export DAGSTER_HOME ?= $(BELVEDERE_HOME)/dagster

.PHONY: demo dev test lint bench clean install
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p;s/^#   //p' Makefile

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "belvedere needs Python 3.11, 3.12 or 3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: install
	@$(BIN)/belvedere demo

dev: install
	@mkdir -p $(DAGSTER_HOME) && cp dagster.yaml $(DAGSTER_HOME)/dagster.yaml
	@set -a; . sandbox/demo.env; set +a; \
	day=$$(cat $(BELVEDERE_HOME)/demo-day 2>/dev/null); \
	$(BIN)/belvedere sandbox $${day:+--today $$day --days 1} & sandbox=$$!; trap 'kill $$sandbox 2>/dev/null' EXIT INT TERM; \
	$(BIN)/dagster dev -m orchestration.definitions -h 127.0.0.1 -p $${PORT:-3000}

test: install
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=4

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/dg check yaml
	$(BIN)/dg check defs

bench: install
	@for script in benchmarks/*.py; do echo; echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf $(BELVEDERE_HOME)
