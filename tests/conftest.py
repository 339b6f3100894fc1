"""Tests leave the user's own folders alone."""

import os
import tempfile

# Before anything reads it, and inherited by the programs that tests start.
os.environ["ARTICULATE_MODELS"] = tempfile.mkdtemp(prefix="articulate-tests-")
