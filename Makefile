# Every target sets up what it needs itself; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
SUITES_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
FUZZ_SECONDS ?= 120
FUZZ_TARGETS ?=
export PYTHON VENV
unexport PYTHONPATH PYTHONHOME  # they would make the venv's interpreter look elsewhere

python = $(VENV)/bin/python

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "PYTHON=python3.12 picks the interpreter, VENV=DIR the venv; PYTEST_ARGS, SUITES_ARGS, BENCH_ARGS are handed on."

.PHONY: demo
demo: ## sequential against concurrent, asyncio against uvolt
	@tools/venv.sh aiohttp
	$(python) -m uvolt demo

.PHONY: test
test: ## the test suite, with PostgreSQL, Redis, mosquitto, RabbitMQ and nginx
	@tools/system.sh servers
	@tools/venv.sh test
	$(python) -m pytest $(PYTEST_ARGS)

.PHONY: suites suites-cpython suites-uvloop suites-aiohttp
suites: suites-cpython suites-uvloop suites-aiohttp ## the next three
suites-cpython: ## CPython's own test_asyncio, on uvolt
	@tools/venv.sh test
	$(python) tests/suites/run_cpython.py $(SUITES_ARGS)
suites-uvloop: ## uvloop's own tests, on uvolt; pip downloads them
	@tools/venv.sh test
	$(python) tests/suites/run_uvloop.py $(SUITES_ARGS)
suites-aiohttp: export VENV := $(VENV)-aiohttp
suites-aiohttp: ## aiohttp's own tests, against the swapped names and on the loop alone; pip downloads them
	@tools/venv.sh suites
	$(python) tests/suites/run_aiohttp.py $(SUITES_ARGS)

.PHONY: soak
soak: ## ten thousand connections, a million timers: nothing may stay behind; makes docs/leaks.md
	@tools/venv.sh test
	$(python) tests/soak/soak.py --loops uvolt,uvolt+memorybio,asyncio --markdown docs/leaks.md $(SOAK_ARGS)

.PHONY: bench
bench: ## the benchmarks that matter most, in about three minutes
	@tools/venv.sh bench
	$(python) benchmarks/run.py --quick $(BENCH_ARGS)

.PHONY: bench-full
bench-full: ## all benchmarks, all peers, with instructions and system calls, and docs/performance.md: an hour
	@tools/venv.sh bench
	$(python) benchmarks/run.py --full --docs $(BENCH_ARGS)

.PHONY: lint
lint: ## ruff, mypy, stubtest of the stubs of C, the C text checks
	@tools/venv.sh test,lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy python/uvolt
	$(VENV)/bin/stubtest --mypy-config-file pyproject.toml uvolt._core
	$(python) -m pytest tests/lint $(PYTEST_ARGS)

.PHONY: asan
asan: export UVOLT_ASAN = 1
asan: export VENV := $(VENV)-asan
asan: ## the test suite under the address and undefined-behaviour sanitizers
	@tools/system.sh servers
	@tools/venv.sh test
	tools/sanitize.sh $(VENV)/bin/python -m pytest -o timeout=600 $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: ## each libFuzzer target of fuzz/ for FUZZ_SECONDS (120); clang
	@tools/system.sh fuzz
	@tools/venv.sh test,fuzz
	UVOLT_FUZZ_PYTHON=$(abspath $(python)) tools/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

.PHONY: wheel
wheel: ## a wheel that brings its own libuv, in dist/
	@tools/wheel.sh

.PHONY: clean
clean: ## remove all that the other targets made
	rm -rf .venv .venv-* build dist python/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	rm -f python/uvolt/_core*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
