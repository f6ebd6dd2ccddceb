"""From an encoder to numbers: opening, encoding, searching, ranking, metrics, language bias, alignment, significance."""
