"""Losses of the five systems, one function each: its paper's symbol, where it comes from, what it wants.

All return scalars (or a dictionary of named scalars) that fall as the wanted thing comes true, and leave out of the
graph what must not learn. A loss whose weight is 0 is never called, and its network never loaded.
"""
