"""Retrieval tasks: what is asked of encoders, from XQuAD-R to MIRACL, and how each set is read."""
