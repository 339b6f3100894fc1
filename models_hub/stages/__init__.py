"""What each graph node does, as functions and generators on tensors."""
