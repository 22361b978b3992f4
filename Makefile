PYTHON ?= python3
# No virtual environment: a skill folder is copied verbatim. The tools live in the cache, as the dependencies do.
RUN := $(PYTHON) lib/bootstrap.py --with tests/requirements.lock -m

help:
	@echo 'make test      the tests, without those that need a real OpenClaw; ALL=1 for all points of them'
	@echo 'make test-any-day  the tests on other days, across the end of a year, in other zones; PART=NAME for one (needs cc)'
	@echo 'make live      the tests against a real OpenClaw, Hermes and Ansible; ALL=1 for all of them on all versions'
	@echo 'make prove     kills, errors, power cuts, races and mutants; ALL=1 for everything, PART=NAME for one part'
	@echo 'make bench     ratios against what people would use instead; PART=NAME for one part'
	@echo 'make record    the terminal sessions in README.md and docs/, played and written anew'
	@echo 'make skill     the skill as it is published: dist/session-closer and an archive of it'
	@echo 'make manual    manual pages and shell completions, as the wheel has them: dist/share'
	@echo 'make evals     tasks in the words of people, done by MODEL=NAME of OPENAI_BASE_URL with SKILL.md and without'
	@echo 'make check     ruff and mypy'
	@echo 'make format    format the sources'
	@echo 'make coverage  branch coverage of the unit tests'

test:
	$(RUN) pytest -n 2 --dist worksteal $(if $(ALL),--everything,--brief)

test-any-day:
	PYTHONPATH=$(CURDIR)/tests $(RUN) anyday $(PART) $(if $(TESTS),--tests $(TESTS))

live:
	$(RUN) pytest tests/live tests/ansible tests/evals tests/docs/test_deploy.py -m live -rs -n 3 --dist loadgroup --no-loadscope-reorder $(if $(ALL),--everything)

prove:
	PYTHONPATH=$(CURDIR)/tests $(RUN) prove $(PART) $(if $(ALL),--all)

bench:
	PYTHONPATH=$(CURDIR)/tests $(PYTHON) lib/bootstrap.py --with tests/bench/requirements.lock -m bench $(PART)

record:
	PYTHONPATH=$(CURDIR)/tests $(RUN) docs

skill:
	$(PYTHON) -B -m publish

manual:
	PYTHONPATH=$(CURDIR) $(RUN) publish.manual

evals:
	PYTHONPATH=$(CURDIR)/tests $(RUN) evals $(MODEL) $(TASKS)

check:
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy lib/session_closer lib/bootstrap.py lib/first_run.py lib/unable.py publish hatch_build.py

format:
	$(RUN) ruff check --fix
	$(RUN) ruff format

coverage:
	$(RUN) coverage run -m pytest tests/unit
	$(RUN) coverage report

.PHONY: help test test-any-day live prove bench record skill manual evals check format coverage
