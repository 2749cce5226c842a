# The commands of a developer's day. They need python3 (3.11 or newer) and make; all else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(PYTHON) requirements/install.py

# Options for the commands below, as in: make demo DEMO="--orders 500", make test PYTEST="-k credit",
# make bench BENCH="latency --broker kafka"
DEMO ?=
UP ?=
BENCH ?=
PYTEST ?=

.DEFAULT_GOAL := help
.PHONY: help run-environment dev-environment demo up down bench test faults deploy-check check format lint types imports pure documents lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run-environment:
	@$(INSTALL) run

dev-environment: run-environment
	@$(INSTALL) dev

demo: run-environment ## Real orders go to cash through six services, and are proven
	@$(BIN)/o2c demo $(DEMO)

up: run-environment ## The embedded stack and all services, until Ctrl-C
	@$(BIN)/o2c up $(UP)

down: run-environment ## Take down what `o2c up --detach` brought up
	@$(BIN)/o2c down

bench: dev-environment ## Every figure of docs/performance.md: embedded broker, then Apache Kafka (o2c bench --help)
	@$(BIN)/o2c bench $(or $(BENCH),all)$(if $(BENCH),,; first=$$?; $(BIN)/o2c bench all --broker kafka && exit $$first)

test: dev-environment ## All tests: pure, connected, end to end, and the fault suite
	@$(BIN)/python -m pytest $(PYTEST)

faults: dev-environment ## The fault suite alone: parts of the whole system are killed, stopped, emptied, cut off under load
	@$(BIN)/python -m pytest tests/faults $(PYTEST)

deploy-check: dev-environment ## Judge the image, docker compose and the Kubernetes manifests (without Docker or a cluster)
	@$(BIN)/python -m pytest tests/deploy $(PYTEST)

check: lint types imports pure ## Format, lint, strict types, who imports whom, pure tests: seconds

lint: dev-environment
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: dev-environment
	@$(BIN)/mypy

imports: dev-environment
	@$(BIN)/lint-imports

pure: dev-environment
	@$(BIN)/python -m pytest -q -m "not connected and not e2e and not faults and not deploy" \
		--hypothesis-profile=check -n logical --maxprocesses 4 --dist worksteal

documents: dev-environment ## Make the documents that come from the code anew
	@$(BIN)/python -m o2c.documents

format: dev-environment ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# The lock files hold hashes for every platform, and no address of a package index.
UV_OPTIONS = --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet
UV_COMPILE = uv pip compile pyproject.toml requirements/build.in --extra embedded --universal $(UV_OPTIONS)
UV_COMPILE_IMAGE = uv pip compile pyproject.toml requirements/build.in --universal $(UV_OPTIONS)
UV_COMPILE_CHECKS = uv pip compile requirements/deploy.in --universal $(UV_OPTIONS)

lock: ## Resolve the dependencies anew into requirements/*.lock (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the path"; exit 1; }
	$(UV_COMPILE) -o requirements/run.lock
	$(UV_COMPILE) --extra dev -c requirements/run.lock -o requirements/dev.lock
	$(UV_COMPILE_IMAGE) -c requirements/run.lock -o requirements/image.lock
	$(UV_COMPILE_CHECKS) -o requirements/deploy.lock

clean: ## Take the stack down; remove .venv, .o2c and all caches
	@if [ -x $(BIN)/o2c ]; then $(BIN)/o2c down || true; fi
	rm -rf .venv .o2c .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
