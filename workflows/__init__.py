"""Workflow files, and the runner that executes them without ComfyUI."""
