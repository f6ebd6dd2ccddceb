"""HybridIR: hybrid batch training for multilingual retrieval, reproduced in notebooks (arXiv 2408.10536)."""

__version__ = "0.1.0"
