# Two commands for a machine that has only Python 3.11+ and make:
#   make run    set up, train the quick start, write its report
#   make test   set up, run the tests
# And `make faults`: trainings that are killed, cut and damaged, and others that take minutes.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test faults lint types check ray lock clean

run: $(READY)
	$(BIN)/assignbench run studies/quickstart.yaml

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

faults: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow $$(grep -rl "mark\.slow" --include="test_*.py" tests)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test faults

# Names, versions and hashes only: pip takes them from wherever it is configured to. Where uv is at hand and finds them,
# it takes a third of the time.
define install
{ command -v uv >/dev/null && uv pip install --quiet --python $(BIN)/python --require-hashes -r $(1); } || \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
endef

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'AssignBench needs Python 3.11 or newer; set PYTHON=...')"
	$(PYTHON) -m venv .venv
	$(call install,requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

# Ray, for tests/launch/test_ray.py, which skips without it.
ray: $(READY)
	$(call install,requirements-ray.lock)

# Needs uv; only for maintainers.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --constraint constraints.txt -o requirements.lock
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['ray'], sep='\n')" \
	  | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --constraint requirements.lock -o requirements-ray.lock
	! grep -n '://' requirements.lock requirements-ray.lock

clean:
	rm -rf .venv runs .mypy_cache .pytest_cache .ruff_cache
