# `make demo` and `make test` need Python 3.11 or newer and nothing else: they make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
# On one machine with two parties, one thread each is the fastest, and results do not depend on the machine.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-cpu lint docs figures constraints clean

demo: .venv/ready
	$(BIN)/vsplit demo

test: .venv/ready lint
	$(BIN)/python -m pytest -m "not alone" --numprocesses auto --dist worksteal
	$(BIN)/python -m pytest -m alone

# The numerical tests as if this processor were older; `make test-cpu ARGUMENTS="--only all-oldest"` for some of the modes.
test-cpu: .venv/ready
	$(BIN)/python tests/cpu_modes.py $(ARGUMENTS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, in site/: open site/index.html. The variable only silences the theme's advertisement of its successor.
docs: .venv/ready
	$(BIN)/python -m docs.generator
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The README's pictures: one from its source, one of the report of `make demo`. They need Graphviz and Chromium.
figures: .venv/ready
	dot -Tsvg docs/images/how-it-works.dot -o docs/images/how-it-works.svg
	chromium --headless --no-sandbox --hide-scrollbars --window-size=920,868 \
		--screenshot=docs/images/report.png vsplit-demo/runs/thyroid/clinic/report.html
	$(BIN)/python -c 'from PIL import Image as i, ImageOps as o; f = "docs/images/report.png"; \
		o.expand(i.open(f).convert("RGB"), 1, "silver").quantize(64).save(f, optimize=True)'

# All but torch is checked against hashes, what torch needs too, so that pip looks for nothing but torch in the second step. The
# project is built by what is installed by then: the third step downloads nothing.
.venv/ready: pyproject.toml constraints.txt constraints-dev.txt constraints-torch.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vsplit needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement constraints.txt --requirement constraints-dev.txt
	$(BIN)/pip install --quiet --requirement constraints-torch.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Pins again what pyproject.toml and constraints.in ask for, with the hashes of every platform's wheels. Versions that still fit stay;
# UPGRADE=--upgrade takes the newest. UV names the command uv (PyPI's package uv).
UV ?= uv
LOCK = $(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --only-binary :all: \
	--emit-build-options --no-annotate --excludes constraints-torch.txt --custom-compile-command 'make constraints' $(UPGRADE) pyproject.toml constraints.in
constraints:
	$(LOCK) --extra images --extra metrics --extra postgresql --extra export --output-file constraints.txt
	$(LOCK) --all-extras --constraint constraints.txt $$(sed -n '/sys_platform/!s/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' constraints.txt) \
		--output-file constraints-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache runs vsplit-demo site
