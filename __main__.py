"""`python -m articulate COMMAND ...`: everything that works without ComfyUI."""

import sys

try:
    from .workflows.commands import main
except KeyboardInterrupt:  # as early as this nothing has begun
    print("articulate: Cancelled; nothing was begun.", file=sys.stderr)
    raise SystemExit(130) from None

if __name__ == "__main__":
    raise SystemExit(main())
