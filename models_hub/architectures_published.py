"""How the checkpoints of others are known by their tensors, once converted (see architectures.py)."""
