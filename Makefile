# make demo: the main job, on real Envoys.   make test: all tests but the long ones.   The rest: make help.
PYTHON ?= python3
DEMO ?=
MUTATE ?=
PARTS := check-others check-adapters check-commands

BIN := .venv/bin
READY := .venv/.smihub-ready
REPORTS := build/reports
# A test that hangs ends the run with every thread's trace; a long one may take longer.
LIMIT := -o faulthandler_exit_on_timeout=true -o faulthandler_timeout
PYTEST := $(BIN)/python -m pytest -q $(LIMIT)=300
# Real servers wait more than they compute, so a small machine has time for several tests at once. A file stays in one
# process, which keeps its servers; the order is that of tests/conftest.py.
BESIDE := --dist loadfile --no-loadscope-reorder -n
# Tests start hundreds of Python processes: each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup lint check $(PARTS) fast-tests test servers test-istio test-consul test-browser demo proof docs goldens constraints dist clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(READY) ## the virtual environment .venv, with the command smihub
	@:

$(READY): constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: sudo apt install python3.11 python3.11-venv, then make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the module venv is missing: sudo apt install python3-venv" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check --quiet
	$(BIN)/python -m compileall -q hub adapters tests
	@touch $@

lint: setup ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@for folder in $(wildcard deploy/demo bench); do echo "mypy $$folder"; MYPYPATH=$$folder $(BIN)/mypy $$folder || exit 1; done
	$(BIN)/lint-imports --no-logo

check: setup ## lint, and the fast tests without random searches, processes and running hubs; under a minute on two cores
	@$(MAKE) --no-print-directory -j4 --output-sync=target lint $(PARTS)

# Types are checked in one process, which takes as long as all else on another core: the tests give way to it. Each part is a
# process that collects its own files: with xdist every process collects all of them, which costs about as much as running them. To
# rewrite the asserts of 450 new files costs as much again: only the tests that failed, a line each, are run a second time with them
# rewritten, to show values.
COMMANDS := $(addprefix tests/hub/,cli reconcile sinks sources status)
CHECK := nice $(PYTEST) -m "not envoy and not istio and not consul and not browser and not slow and not thorough and not hypothesis"
AGAIN = echo "Again, for the values of what failed (a test that passes now is no better: it failed before):"
check = @echo "pytest $(1)"; $(CHECK) --assert=plain --tb=line -o cache_dir=build/check/$@ $(1) || { $(AGAIN); $(CHECK) -o cache_dir=build/check/$@ --last-failed $(1); false; }

check-adapters: setup
	$(call check,tests/adapters)

check-commands: setup
	$(call check,$(COMMANDS))

check-others: setup
	$(call check,tests $(addprefix --ignore=,tests/adapters $(COMMANDS) tests/adversary tests/e2e tests/mutants))

fast-tests: setup ## the tests that start no Envoy
	@mkdir -p $(REPORTS)
	$(PYTEST) -n auto -m "not envoy and not istio and not consul and not browser and not slow" --junit-xml=$(REPORTS)/fast.xml

test: fast-tests ## the fast tests, then those with real Envoys
	$(PYTEST) $(BESIDE) 3 -m "envoy and not slow" --junit-xml=$(REPORTS)/envoy.xml

servers: setup ## build etcd, kube-apiserver, istiod and Consul, and fetch Gateway API's types, into ~/.cache/smihub, once per version (needs Go; some minutes)
	$(BIN)/python -m tests.servers.istio.build
	$(BIN)/python -m tests.servers.istio.gateway
	$(BIN)/python -m tests.servers.consul.build

test-istio: servers ## a real Istio mesh obeys (needs root, iptables and iproute2)
	@mkdir -p $(REPORTS)
	$(PYTEST) $(BESIDE) 2 -m "istio and not slow" --junit-xml=$(REPORTS)/istio.xml

test-consul: setup ## a real Consul mesh obeys (needs Go, for the first time some minutes)
	@mkdir -p $(REPORTS)
	$(BIN)/python -m tests.servers.consul.build
	$(PYTEST) $(BESIDE) 2 -m "consul and not slow" --junit-xml=$(REPORTS)/consul.xml

# GNU make turns every failure of a recipe into exit 2, except where it only asks (-q): there a recipe's 1 stays 1, as the
# demo with a broken rule must end. Lines with + run even then.
ifeq ($(MUTATE),1)
MAKEFLAGS += -q
endif

test-browser: setup docs ## the site, and the pages that smihub writes, in a headless browser (needs Debian's chromium and chromium-driver)
	@mkdir -p $(REPORTS)
	$(PYTEST) -m "browser and not slow" --junit-xml=$(REPORTS)/browser.xml

demo: ## real Envoys obey a folder of SMI (DEMO=full shows every request; MUTATE=1 breaks a rule, and must exit 1)
	+@MAKEFLAGS= $(MAKE) --no-print-directory setup MUTATE=
	+@MUTATE=$(MUTATE) DEMO='$(DEMO)' $(BIN)/python deploy/demo/run.py

proof: setup ## the long ones: large random searches, mutants, installs
	@mkdir -p $(REPORTS)
	$(PYTEST) $(LIMIT)=3000 -m slow --junit-xml=$(REPORTS)/proof.xml

docs: build/docs/.ready build/docs/mermaid.min.js ## the pages of docs/ as a site, in build/site; a broken link is an error
	rm -rf build/site build/pages && mkdir -p build/pages
	git ls-files -z -- '*.md' docs hub adapters deploy examples | xargs -0 cp --parents -t build/pages
	cp build/docs/mermaid.min.js build/pages/docs
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict --config-file docs/mkdocs.yml
	@echo "build/site/index.html"

build/docs/.ready: constraints-docs.txt
	$(PYTHON) -m venv build/docs
	build/docs/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r constraints-docs.txt
	@touch $@

goldens: setup ## write every golden anew; then read the diff
	SMIHUB_UPDATE_GOLDENS=1 $(PYTEST) tests/docs/test_bad_inputs.py tests/docs/test_support.py tests/deploy/test_goldens.py $(wildcard tests/adapters/*/test_translate_goldens.py)

# Diagrams are drawn in the browser; with its own copy the site asks no other server.
MERMAID := 11.17.2
MERMAID_SHA256 := 6ad2f42c3fc26bbf9e45cbb6d11898972573ea52b33a5f4ff51952899f950ffd

build/docs/mermaid.min.js: build/docs/.ready
	@command -v npm >/dev/null || { echo "npm is missing: sudo apt install npm" >&2; exit 1; }
	cd build/docs && npm pack --silent mermaid@$(MERMAID)
	cd build/docs && echo "$(MERMAID_SHA256)  mermaid-$(MERMAID).tgz" | sha256sum --check --quiet
	tar -xzOf build/docs/mermaid-$(MERMAID).tgz package/dist/mermaid.min.js > $@.new && mv $@.new $@

DOCS_EXTRA := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])
# $(call pin,what to install,the file that lists it)
define pin
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --upgrade pip
	build/constraints/bin/python -m pip install --quiet $(1)
	build/constraints/bin/python -m pip list --format=freeze --exclude smihub --exclude pip --exclude setuptools > build/versions.txt
	build/constraints/bin/python .ci/pins.py < build/versions.txt > build/constraints.txt
	mv build/constraints.txt $(2) && rm -rf build/constraints build/versions.txt
endef

constraints: ## resolve the newest versions, and the hashes of their files, into constraints*.txt (some minutes)
	$(call pin,'.[dev]',constraints.txt)
	$(call pin,$$($(PYTHON) -c '$(DOCS_EXTRA)'),constraints-docs.txt)

dist: setup ## the wheel and the sdist of this commit, the same bytes each time
	rm -rf dist
	epoch=$$(git log -1 --format=%ct) && SOURCE_DATE_EPOCH=$$epoch $(BIN)/python -m build --no-isolation

clean: ## remove everything that make made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(wildcard .ci adapters bench deploy hub tests) -name __pycache__ -prune -exec rm -r {} +
