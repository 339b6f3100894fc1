"""Workflows on a running ComfyUI. Left out of the archive for ComfyUI's registry, which needs no network code."""
