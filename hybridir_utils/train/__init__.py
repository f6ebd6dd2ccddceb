"""Training on a batch plan: losses, trainer, checkpoints, the suite's own base encoders."""
