# make demo   the three models on real data, with a picture       make test   everything that CI checks
# make coverage  do 95 % intervals hold the truth: 10,000 simulated data sets of each mixed model (a few minutes)
# make coverage-effects  the same of average effects of GLM, GEE and GLMM, and whether the three agree (20 minutes)
# make coverage-gee  do intervals of a GEE with 10 to 40 clusters hold the truth, with each kind of standard errors: 2,000 data sets each (3 minutes)
# make crossed  the Krylov engine beside the exact one and beside the truth, crossed designs well and poorly connected: 2,000 data sets each (20 minutes)
# make residual-levels  do residual tests reject right models 5 times in 100, and wrong ones often: 1,000 data sets each (half an hour)
# make fuzz   10,000 random calls of the three doors, a table of how they ended and every failure with a line that repeats it (20 minutes)
# make lint   style, types and import layers only                  make bench  speed against other packages (an hour or two, own environment)
# make docs   runs the code of the pages in docs/ and builds the site into site/
# make interop   the tests with marginaleffects and maketables, in an environment of their own: what these answer may change with them
# make sanitize   the kernels under AddressSanitizer and UndefinedBehaviorSanitizer: their tests and fits of every kind (Linux, gcc; half an hour)
# make bench-scaling   time and memory against rows and levels, as a table and a picture
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUTSIDE := .venv-interop/bin
STAMP := $(VENV)/.installed
SOURCES := $(wildcard native/*.cpp native/*.hpp) CMakeLists.txt pyproject.toml $(shell find src -name '*.py' -o -name '*.csv')

.PHONY: demo test lint sanitize interop bench bench-scaling coverage coverage-effects coverage-gee crossed residual-levels fuzz docs clean

demo: $(STAMP)
	$(BIN)/python -m glimm demo

test: lint
	$(BIN)/python -m benchmarks.run --short
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

# Both modules; the interpreter is not instrumented and keeps what it allocates, so leaks are not looked for.
SANITIZED := build/sanitize
SANITIZER := LD_PRELOAD="$(shell gcc -print-file-name=libasan.so) $(shell gcc -print-file-name=libubsan.so) $(shell gcc -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1
sanitize: $(STAMP)
	$(BIN)/python -m pip install --quiet cmake ninja nanobind
	PATH="$(abspath $(BIN)):$$PATH" cmake -G Ninja -S . -B $(SANITIZED) -DGLIMM_SANITIZE=ON -DPython_EXECUTABLE=$(abspath $(BIN))/python
	PATH="$(abspath $(BIN)):$$PATH" cmake --build $(SANITIZED)
	rm -rf $(SANITIZED)/site && mkdir -p $(SANITIZED)/site && cp -r src/glimm $(SANITIZED)/site/
	cp $(SANITIZED)/_native*.so $(SANITIZED)/site/glimm/kernels/
	$(SANITIZER) PYTHONPATH=$(SANITIZED)/site $(BIN)/python -m pytest -s tests/test_extremes.py tests/test_blocked.py tests/test_ordering.py \
		tests/test_kernels.py tests/test_kernel_families.py tests/test_elimination.py tests/test_krylov.py tests/test_slopes.py tests/test_interrupt.py tests/test_doors.py tests/test_trouble.py \
		tests/test_gee_structures.py tests/test_association.py tests/test_batches.py

interop:
	test -x $(OUTSIDE)/python || $(PYTHON) -m venv .venv-interop
	$(OUTSIDE)/python -m pip install --quiet --upgrade pip
	$(OUTSIDE)/python -m pip install --quiet . --group interop
	$(OUTSIDE)/python -m pytest tests/test_interop.py

bench:
	$(PYTHON) -m benchmarks.run

coverage: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/coverage_study.py

coverage-effects: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/effects_study.py

coverage-gee: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/small_sample_study.py

crossed: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/crossed_study.py

residual-levels: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/residual_level_study.py

fuzz: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/fuzz_study.py

bench-scaling:
	$(PYTHON) -m benchmarks.scaling

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python docs/make.py
	$(BIN)/sphinx-build -W --keep-going -q docs site

# The environment: created, filled and refreshed whenever a source changes.
$(STAMP): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "glimm needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .venv-interop build dist demo site
