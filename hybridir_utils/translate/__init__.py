"""Machine translation: translators, their cache, cost and quality."""
