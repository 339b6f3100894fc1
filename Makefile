# make demo   a fresh environment, then a talking video of the sample portrait in out/
# make test   the tests
# make lint   the style checks

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
# The usual torch for Linux carries several GB of CUDA. PyTorch's own index for the CPU, given here, avoids them:
#   make demo TORCH_INDEX=<address from pytorch.org, "CPU">
TORCH_INDEX ?=

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(RUN) -m articulate talk samples/portrait.jpg samples/speech.flac -o out/talking.mp4 --overwrite
	$(RUN) -m articulate sheet out/talking.mp4 -o out/contact_sheet.png --overwrite
	@echo
	@echo "The video:         out/talking.mp4"
	@echo "Its contact sheet: out/contact_sheet.png"

test: $(VENV)/installed-for-tests
	$(RUN) -m pytest

lint: $(VENV)/installed-for-tests
	$(VENV)/bin/ruff check .

$(VENV)/installed: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	       "install one and say: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(RUN) -m pip install --constraint constraints.txt --index-url $(TORCH_INDEX) torch)
	$(RUN) -m pip install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed requirements-dev.txt
	$(RUN) -m pip install --constraint constraints.txt --requirement requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) out build
