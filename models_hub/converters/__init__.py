"""Checkpoints that others published -> weights files of this project. Nobody's weights come with the project."""
