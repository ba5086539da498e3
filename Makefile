# Everything runs in environments of its own, made here from nothing but Python.
PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check

# Tests run side by side in so many processes; those that share what they build, in one.
JOBS ?= logical
SIDE_BY_SIDE = --numprocesses $(JOBS) --dist loadgroup
QUICK = -m "not slow"
# Tests whose results cannot differ on the oldest packages, for the reasons in docs/contributing.md.
SAME = packaging docs paper test_examples.py test_docstrings.py test_package.py \
	_utils/test_checkpoint.py _utils/test_progress.py cli/test_memory.py cli/test_screen.py \
	outofcore/test_memory.py outofcore/test_resume.py
# More for pytest, e.g. what is to be left out.
PYTEST_FLAGS ?=

.PHONY: demo test test-slow test-oldest test-oldest-quick test-oldest-torch test-install coverage \
	docs look lint bench \
	bench-networks bench-peers bench-ratios bench-asv bench-compare bench-growth bench-active \
	bench-queries bench-cover bench-subsample bench-wide bench-classes bench-large plan \
	figure-approximation study study-cnn study-queries study-cli study-leaves study-checked study-review paper paper-quick \
	browser clean

demo: .venv-demo/ready
	MPLBACKEND=Agg .venv-demo/bin/python examples/demo.py --output demo-output

test: .venv-test/ready
	OMP_NUM_THREADS=1 .venv-test/bin/python -m pytest $(SIDE_BY_SIDE) $(QUICK) $(PYTEST_FLAGS)

test-slow: .venv-test/ready
	OMP_NUM_THREADS=1 .venv-test/bin/python -m pytest $(SIDE_BY_SIDE) -m slow $(PYTEST_FLAGS)

# All tests, with the share of the package's lines that they run; sys.monitoring from Python 3.12.
COVERED ?= 90
coverage: .venv-test/ready
	OMP_NUM_THREADS=1 .venv-test/bin/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_FLAGS) \
		--cov skfi --cov-report term:skip-covered --cov-fail-under $(COVERED)

# The oldest supported scikit-learn, numpy and scipy; no torch.
test-oldest: .venv-oldest/ready
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_FLAGS)

test-oldest-quick: .venv-oldest/ready
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest $(SIDE_BY_SIDE) $(QUICK) \
		$(addprefix --ignore tests/,$(SAME)) $(PYTEST_FLAGS)

# All tests beside the oldest torch and skorch: gigabytes, where torch has CUDA.
test-oldest-torch: .venv-oldest-torch/ready
	OMP_NUM_THREADS=1 .venv-oldest-torch/bin/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_FLAGS)

# The built packages, installed by pip from the package index into clean environments.
test-install: .venv-test/ready
	SKFI_TEST_INSTALL=1 .venv-test/bin/python -m pytest tests/packaging/test_pip.py

# The site, in docs/_build/html; a warning is an error.
docs: .venv-test/ready
	OMP_NUM_THREADS=1 MPLBACKEND=Agg .venv-test/bin/sphinx-build --fail-on-warning --keep-going \
		--quiet --builder html docs docs/_build/html

# Every page of the site at two widths, after make docs browser.
look: .venv-test/ready
	.venv-test/bin/python docs/_ext/look.py

lint: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports --no-cache
	git ls-files -z | xargs -0 .venv-test/bin/codespell
	.venv-test/bin/python docs/_ext/words.py

bench: .venv-test/ready
	.venv-test/bin/python benchmarks/fit_ratio.py
	.venv-test/bin/python benchmarks/cv_cost.py
	.venv-test/bin/python benchmarks/trim_cost.py
	OMP_NUM_THREADS=1 .venv-test/bin/python benchmarks/query_fit.py
	OMP_NUM_THREADS=1 .venv-test/bin/python benchmarks/curvature_choice.py cost

# The paper's CNN with a hidden layer of 128 (420,000 parameters); four minutes.
bench-networks: .venv-test/ready
	.venv-test/bin/python benchmarks/network_cost.py --width 128

# Other packages, in an environment of their own: pyDVL wants NumPy 1.
bench-peers: .venv-peers/ready
	.venv-peers/bin/python benchmarks/network_peers.py

# What 10⁹ rows would take, counted from measured rows.
plan: .venv-test/ready
	.venv-test/bin/python benchmarks/plan.py

# How cost grows: exponents in rows, columns, classes and the pool, and peak memory.
bench-growth: .venv-test/ready
	.venv-test/bin/python benchmarks/growth.py

# What is watched from commit to commit; asv compare and asv publish take it from there.
bench-asv: .venv-test/ready
	cd benchmarks && ../.venv-test/bin/asv run --config asv.conf.json --python same --quick \
		--show-stderr --set-commit-hash $$(git rev-parse HEAD)

# A commit beside another, each in an environment of its own; fails where HEAD is slower.
BASE ?= main
bench-compare: .venv-test/ready
	cd benchmarks && ../.venv-test/bin/asv machine --yes --config asv.conf.json && \
		../.venv-test/bin/asv continuous --config asv.conf.json --factor 1.5 --show-stderr \
		$(ASV_FLAGS) $(BASE) HEAD

# Both tables of docs/scaling.md; minutes, on an otherwise idle machine.
bench-ratios: .venv-test/ready .venv-peers/ready
	.venv-test/bin/python benchmarks/ratios.py
	.venv-peers/bin/python benchmarks/ratios.py

# 20,000 texts of 100,000 hashed columns; ten minutes.
bench-wide: .venv-test/ready
	.venv-test/bin/python benchmarks/wide_text.py

# Covering the pool: time at a pool of 2,000, memory at a million rows; a minute.
bench-cover: .venv-test/ready
	.venv-test/bin/python benchmarks/query_cover.py

# K-FAC and what "auto" takes as classes become many, beside the fit; five minutes.
bench-classes: .venv-test/ready
	.venv-test/bin/python benchmarks/many_classes.py
	.venv-test/bin/python benchmarks/curvature_choice.py cost

# Ten million rows from disk (4 GB), out of core and on two workers of Dask.
bench-large: .venv-test/ready
	.venv-test/bin/python benchmarks/out_of_core.py --parquet
	.venv-test/bin/python benchmarks/dask_large.py

# All pairs, and the mean over a million rows, beside what cannot be avoided; three minutes.
bench-active: .venv-test/ready
	.venv-test/bin/python benchmarks/active_cost.py

# A query beside one of BALD, on the paper's MNIST case.
bench-queries: .venv-test/ready
	.venv-test/bin/python benchmarks/query_cost.py

bench-subsample: .venv-test/ready
	.venv-test/bin/python benchmarks/subsample_recall.py

figure-approximation: .venv-test/ready
	.venv-test/bin/python benchmarks/approximation_error.py --seeds 3 \
		--output docs/images/approximation_error.png

# An hour on two cores; SKFI_DATA names the folder of data sets.
study: .venv-test/ready
	.venv-test/bin/python benchmarks/trimming_study.py run --jobs 2
	.venv-test/bin/python benchmarks/trimming_study.py report > benchmarks/trimming_study.md

# Twelve minutes.
study-cnn: .venv-test/ready
	.venv-test/bin/python benchmarks/query_study_cnn.py --seeds 20

# Forty minutes on two cores.
study-queries: .venv-test/ready
	.venv-test/bin/python benchmarks/query_study.py run --jobs 2
	.venv-test/bin/python benchmarks/query_study.py run --jobs 2 --seeds 3 --group ablation
	.venv-test/bin/python benchmarks/query_study.py run --jobs 2 --seeds 2 --group others
	.venv-test/bin/python benchmarks/query_study.py run --jobs 2 --seeds 2 --batch 5
	.venv-test/bin/python benchmarks/query_study.py run --jobs 2 --seeds 2 --batch 50
	.venv-test/bin/python benchmarks/query_study.py report > benchmarks/query_study.md
	.venv-test/bin/python benchmarks/query_stopping.py run
	.venv-test/bin/python benchmarks/query_stopping.py report > benchmarks/query_stopping.md

# The rule by which the command line chooses the budget; a quarter of an hour on one core.
study-cli: .venv-test/ready
	OMP_NUM_THREADS=1 .venv-test/bin/python benchmarks/cli_rule.py run
	OMP_NUM_THREADS=1 .venv-test/bin/python benchmarks/cli_rule.py report > benchmarks/cli_rule.md

# What checked rows are worth: some minutes a seed and data set on one core.
study-checked: .venv-test/ready
	.venv-test/bin/python benchmarks/checked_study.py run
	.venv-test/bin/python benchmarks/checked_study.py run --dirty --noise "20 % flipped" --arms \
		"A and V, nothing dropped" "V alone" FITrimmerCV
	.venv-test/bin/python benchmarks/checked_study.py report > benchmarks/checked_study.md

# Which rows to review first: a minute on one core.
study-review: .venv-test/ready
	.venv-test/bin/python benchmarks/review_study.py > benchmarks/review_study.md

# Boosting and forests, scored by their own leaves; a quarter of an hour on one core.
study-leaves: .venv-test/ready
	.venv-test/bin/python benchmarks/leaves_study.py run
	.venv-test/bin/python benchmarks/leaves_study.py report > benchmarks/leaves_study.md

# Chromium, for the tests of the HTML report; they skip without it. Debian, as root.
browser:
	command -v chromedriver || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends chromium chromium-driver)

# Every table and figure of the paper, in a small version: three minutes on two cores.
paper-quick: .venv-paper/ready
	.venv-paper/bin/python -m examples.paper run all --quick

# As the reproduction page has them: hours, see there. Goes on where it was stopped.
paper: .venv-paper/ready
	.venv-paper/bin/python -m examples.paper run all --output docs/reproduction
	.venv-paper/bin/python -m examples.paper report

.venv-demo/ready: pyproject.toml constraints.txt $(shell find skfi -name '*.py')
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/pip install $(PIP_FLAGS) --constraint constraints.txt ".[plot,pandas]"
	rm -rf build
	touch $@

.venv-test/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv-paper/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-paper
	.venv-paper/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[paper]"
	touch $@

.venv-peers/ready: pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install $(PIP_FLAGS) torch==2.13.0 torchvision==0.28.0 \
		"pydvl[influence]==0.10.0" --editable ".[torch]"
	touch $@

.venv-oldest/ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install $(PIP_FLAGS) --constraint constraints-oldest.txt \
		--editable ".[plot,pandas,integrations,cli,test]"
	touch $@

.venv-oldest-torch/ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest-torch
	.venv-oldest-torch/bin/pip install $(PIP_FLAGS) --constraint constraints-oldest.txt \
		--editable ".[torch,plot,pandas,integrations,cli,test]" curvlinops-for-pytorch
	touch $@

clean:
	rm -rf .venv-demo .venv-test .venv-oldest .venv-oldest-torch .venv-peers .venv-paper build dist \
		demo-output paper-output docs/_build docs/auto_examples docs/api/generated \
		docs/api/backreferences skfi/_version.py *.egg-info .coverage*
