# jobyard: the commands of the checkout. They need make and a Python 3.11 or later, nothing else.
#
#   make demo            run the main job on SQLite; DIR=folder chooses the folder to index
#   make test            everything that has to pass
#   make soak            chaos runs on every store: RUNS=30 of each, or for HOURS=8
#   make fuzz            many more examples for what reads bytes, URLs and cron, new ones each time
#   make check           lint, types, layers and the public API, without the tests
#   make clean           remove the environment and what the tools leave behind
#
# PYTHON=/path/to/python3.12 chooses the Python, VENV=folder the place of the environment.

VENV ?= .venv
python = $(VENV)/bin/python

.PHONY: help demo test soak fuzz check clean venv
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

# Any Python 3.7 or later can start the script; it looks for a fit one by itself.
venv:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 7))' >/dev/null 2>&1; then \
	        exec "$$python" tools/bootstrap.py --venv "$(VENV)" $(if $(PYTHON),--python "$(PYTHON)"); \
	    fi; \
	done; \
	echo "jobyard needs Python 3.11 or later, and no Python was found." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)." >&2; \
	exit 1

demo: venv
	@$(python) -m jobyard demo $(if $(DIR),"$(DIR)")

test: venv
	@$(python) tools/check.py

soak: venv
	@$(python) tools/soak.py $(if $(RUNS),--runs $(RUNS)) $(if $(HOURS),--hours $(HOURS))

fuzz: venv
	@$(python) -m pytest --hypothesis-profile=fuzz --timeout=3600 tests/security/test_fuzzing.py \
	    tests/test_codec.py tests/test_url.py tests/test_failure.py tests/test_backoff.py

check: venv
	@$(python) tools/check.py lint format types layers api sync

clean:
	rm -rf .venv .venv.lock .tox dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .import_linter_cache
	find src backends conformance tests tools -name __pycache__ -prune -exec rm -rf {} +
