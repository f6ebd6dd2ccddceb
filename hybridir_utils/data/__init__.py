"""Training data: parallel pairs, world facts, public sets, checks of quality and leaks, hard negatives, the batch plan."""
