PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
PORT ?= 8000

.PHONY: demo test check vllm bench bench-fast install clean

demo: $(VENV)/.installed ## forget one scope, show before and after, serve; ONCE=1 ends after the table; MODEL=... is another model
	$(BIN)/unrecall demo --port $(PORT) $(if $(ONCE),--once) $(if $(MODEL),--model "$(MODEL)") \
		$(if $(CHAT_TEMPLATE),--chat-template "$(CHAT_TEMPLATE)")

# One thread each: those of several processes on the same cores wait for each other, spinning.
test: $(VENV)/.installed-dev vllm ## every test, the real-vLLM ones included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

# What can be told of the house without a model: its floors, what it loads, and that docs say what the code does.
CHECKED := tests/test_layout.py tests/test_docs.py tests/gateway/test_loading.py tests/gateway/test_settings_page.py tests/gateway/cli

check: $(VENV)/.installed-dev ## lint, code scan, format, types, known vulnerabilities, who may import whom, settings and docs
	$(BIN)/ruff check .  # its rules S are bandit's: they scan the code for what an attacker likes
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	sh scripts/audit-dependencies.sh $(BIN) constraints.txt
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(CHECKED)

bench: $(VENV)/.installed-dev vllm ## measure; writes benchmarks/results/*.json
	$(BIN)/python -m benchmarks.product.run $(ARGS)

install: $(VENV)/.installed

# The tested versions are in constraints.txt; pyproject.toml says which ranges are allowed.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): a minute or two"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,lm-eval]"
	touch $@

# vLLM for CPU lives apart, as in production it is a server of its own. Where it cannot be had (another platform)
# the reason is kept for the tests that skip.
vllm: $(VLLM_VENV)/.tried

$(VLLM_VENV)/.tried: scripts/install-vllm.sh
	@echo "installing vLLM into $(VLLM_VENV): two minutes or three"
	@sh scripts/install-vllm.sh "$(PYTHON)" "$(VLLM_VENV)"

clean:
	rm -rf $(VENV) $(VLLM_VENV) .unrecall
