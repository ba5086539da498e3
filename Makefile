# Everything runs in environments of its own, made here from nothing but Python.
PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check

.PHONY: demo test test-oldest lint bench study clean

demo: .venv-demo/ready
	MPLBACKEND=Agg .venv-demo/bin/python examples/demo.py --output demo-output

test: .venv-test/ready
	.venv-test/bin/python -m pytest

# The oldest supported scikit-learn, numpy and scipy; no torch.
test-oldest: .venv-oldest/ready
	.venv-oldest/bin/python -m pytest

lint: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

bench: .venv-test/ready
	.venv-test/bin/python benchmarks/fit_ratio.py
	.venv-test/bin/python benchmarks/cv_cost.py

# An hour on two cores; SKFI_DATA names the folder of data sets.
study: .venv-test/ready
	.venv-test/bin/python benchmarks/trimming_study.py run --jobs 2
	.venv-test/bin/python benchmarks/trimming_study.py report > benchmarks/trimming_study.md

.venv-demo/ready: pyproject.toml constraints.txt $(shell find skfi -name '*.py')
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/pip install $(PIP_FLAGS) --constraint constraints.txt ".[plot,pandas]"
	rm -rf build
	touch $@

.venv-test/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv-oldest/ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install $(PIP_FLAGS) --constraint constraints-oldest.txt \
		--editable ".[plot,pandas,integrations,test]"
	touch $@

clean:
	rm -rf .venv-demo .venv-test .venv-oldest build dist demo-output *.egg-info
