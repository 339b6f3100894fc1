"""`python -m articulate COMMAND ...`: everything that works without ComfyUI."""

from .workflows.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
