"""Public sets' language codes become ours."""

import pytest

from hybridir_utils.base.languages import our_code


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("zho-CN", "zh"), ("zho_Hans", "zh"), ("zho_Hant", "zh-Hant"), ("zho-TW", "zh-TW"), ("zh_cn", "zh"), ("zh_hk", "zh-HK"),
        ("arb_Arab", "ar"), ("arb_Latn", "ar-Latn"), ("arz_Arab", "arz-Arab"), ("eng-Latn", "en-Latn"), ("eng", "en"), ("fas", "fa"),
        ("pes", "fa"), ("prs", "prs"), ("swh", "sw"), ("nob", "nb"), ("no", "no"), ("tgl", "fil"), ("srp-Cyrl", "sr"), ("spa-MX", "es-MX"),
    ],
)  # fmt: skip
def test_a_tag_becomes_our_code(code, ours):
    assert our_code(code) == ours


def test_the_only_script_of_a_language_is_left_out():
    assert [our_code(code, single=True) for code in ("eng_Latn", "rus-Cyrl", "arz_Arab")] == ["en", "ru", "arz"]
