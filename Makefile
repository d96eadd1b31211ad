# Everything a newcomer or a contributor types. Each target installs what it lacks into .venv first.
.PHONY: help install demo test check format proto release-contract lock
run = .venv/bin/
released = released/lift-v1.binpb# the contract that clients have, as descriptors

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

install: ## the project's own virtual environment, from requirements.lock
	@scripts/install.sh

demo: install ## a document nobody trained on, answered from the model's own weights
	@$(run)python examples/demo.py

test: install ## the whole suite
	@$(run)python -m pytest

check: install ## formatting, lint, types, layering, proto lint, broken promises of the contract, committed stubs
	@$(run)ruff format --check .
	@$(run)ruff check .
	@$(run)mypy
	@$(run)lint-imports
	@$(run)python scripts/stubs.py --check
	@cd proto && ../$(run)buf lint && ../$(run)buf breaking --path lift/v1 --against $(released)

format: install ## rewrite the code in the project's format
	@$(run)ruff format .
	@$(run)ruff check --fix .

proto: install ## regenerate the committed stubs from proto/
	@$(run)python scripts/stubs.py

release-contract: proto ## promise the contract as it is to clients
	@cd proto && ../$(run)buf build --path lift/v1 --exclude-source-info -o $(released)

lock: ## resolve requirements.lock anew from pyproject.toml
	@$${PYTHON:-python3} scripts/lock.py
