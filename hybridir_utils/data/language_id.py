"""Which language a text is in, by py3langid (a naive Bayes model over byte n-grams, 140 languages; Lui and Baldwin 2012)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import pandas as pd

# A text is taken for another language from this probability and length on. Of 48,324 texts long enough of XQuAD-R, three parallel sets of
# documents and the world facts, in 57 languages, 44 fell under it: 37 had been left in English and 4 were in Hindi indeed, and 3 were
# right (Marathi and Nepali taken for Hindi). At 30 characters a right sentence of the world facts, which is mostly names, falls too.
# Of texts under a wrong label it finds 93 % in the median language; few where two are close (Malay, Croatian: none; Norwegian: half).
CONFIDENCE = 0.8
LONG_ENOUGH = 40  # characters

_NAMES = {"fil": "tl", "nb": "no"}  # py3langid's code where it is not ours
_MEMBERS = {"ar": ("arz", "ary"), "nb": ("nn",), "no": ("nn",), "nn": ("no",), "zh": ("wuu", "yue")}  # written alike


def unchecked_languages(codes: Iterable[str]) -> list[str]:
    """The codes of languages that py3langid does not know, so that no text in them is judged."""
    return [code for code in codes if _name(code) not in _identifier().labels]


def other_languages(texts: Sequence[str], language: str) -> pd.DataFrame:
    """Texts that are in another language than `language`: index of the text, columns `found` (code) and `probability`.

    Texts shorter than LONG_ENOUGH characters, and all texts of a language that py3langid does not know, are left alone.
    """
    own = (_name(language), *_MEMBERS.get(_name(language), ()))
    if unchecked_languages([language]):
        return pd.DataFrame({"found": [], "probability": []})
    judged = {i: _identifier().classify(text) for i, text in enumerate(texts) if len(text) >= LONG_ENOUGH}
    wrong = {i: (code, p) for i, (code, p) in judged.items() if code not in own and p >= CONFIDENCE}
    return pd.DataFrame.from_dict(wrong, orient="index", columns=["found", "probability"])


def _name(code: str) -> str:
    code = code.replace("-", "_").split("_")[0]
    return _NAMES.get(code, code)


@cache
def _identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
