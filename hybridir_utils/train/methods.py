"""Contrastive methods that hybrid batches are compared with (PAPER §7), each as pairs to train on, a mix of batches, and a loss."""

from __future__ import annotations

METHODS = ("translation ranking", "distillation", "dropout", "crop", "code-switched")
