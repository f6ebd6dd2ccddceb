"""One border for language codes: whatever form sets and people write, it becomes our code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.languages import by_language, our_code, our_codes
from hybridir_utils.data.public_pairs import TRAINING_SETS
from hybridir_utils.data.worldfacts import template_languages
from hybridir_utils.tasks.public_sets import EVALUATION_SETS

# The codes of FLORES-200's 204 files and of NTREX-128's.
FLORES = """
ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab
arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl bem_Latn ben_Beng bho_Deva bjn_Arab
bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn
dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn
gaz_Latn gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn
ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor kaz_Cyrl kbp_Latn
kea_Latn khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn knc_Arab knc_Latn kon_Latn kor_Hang lao_Laoo lij_Latn lim_Latn
lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Arab
min_Latn mkd_Cyrl mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nso_Latn nus_Latn nya_Latn oci_Latn
ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn prs_Arab quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn
san_Deva sat_Olck scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srd_Latn srp_Cyrl
ssw_Latn sun_Latn swe_Latn swh_Latn szl_Latn tam_Taml taq_Latn taq_Tfng tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tpi_Latn
tsn_Latn tso_Latn tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn
wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zsm_Latn zul_Latn
"""
NTREX = """
afr amh arb aze-Latn bak bel bem ben bod bos bul cat ces ckb-Arab cym dan deu div dzo ell eng-GB eng-IN eng-US eng est eus ewe fao fas fij
fil fin fra-CA fra fuc gle glg guj hau heb hin hmn hrv hun hye ibo ind isl ita jpn kan kat kaz khm kin kir kmr kor lao lav lit ltz mal mar
mey mkd mlg mlt mon mri msa mya nde nep nld nno nob nso nya orm pan pol por-BR por prs pus ron rus shi sin slk slv smo sna-Latn snd-Arab
som spa-MX spa sqi srp-Cyrl srp-Latn ssw swa swe tah tam tat tel tgk-Cyrl tha tir ton tsn tuk tur uig ukr urd uzb ven vie wol xho yor yue
zho-CN zho-TW zul
"""


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("zho-CN", "zh"), ("zho_Hans", "zh"), ("zho_Hant", "zh-TW"), ("zho-TW", "zh-TW"), ("zh_cn", "zh"), ("zh_hk", "zh-HK"),
        ("arb_Arab", "ar"), ("arb_Latn", "ar-Latn"), ("arz_Arab", "arz"), ("eng-Latn", "en"), ("eng", "en"), ("EN", "en"), ("fas", "fa"),
        ("pes", "fa"), ("prs", "prs"), ("swh", "sw"), ("nob", "no"), ("nb", "no"), ("no", "no"), ("nno", "nn"), ("tgl", "fil"),
        ("iw", "he"), ("tl", "fil"), ("cmn", "zh"), ("srp-Cyrl", "sr"), ("sr@latin", "sr-Latn"), ("sh", "sr-Latn"),
        ("hrv", "hr"), ("spa-MX", "es-MX"), ("pt-BR", "pt"),
        ("pt_PT", "pt-PT"), ("zsm", "ms"), ("als", "sq"), ("kor-Hang", "ko"), ("zh-yue", "yue"), ("de-AT-1996", "de-AT-1996"),
    ],
)  # fmt: skip
def test_a_tag_becomes_our_code(code, ours):
    assert our_code(code) == our_code(ours) == ours


@pytest.mark.filterwarnings("error")
def test_all_of_flores_and_ntrex_have_a_code_of_their_own():
    flores, ntrex = FLORES.split(), NTREX.split()
    assert len(flores) == 204 and len(set(map(our_code, flores))) == 204
    assert len(ntrex) == 128 and len(by_language(ntrex, "ntrex")) == 126, "eng-US is eng's own region, por-BR por's likeliest"
    assert by_language(ntrex, "ntrex")["pt"] == "por"


@pytest.mark.filterwarnings("error")
def test_the_codes_that_we_use_ourselves_are_ours():
    trained = {code for entry in TRAINING_SETS.values() for code in entry.languages}
    ours = {*template_languages(), *trained, *EVALUATION_SETS["miracl"].languages}
    assert set(our_codes(ours)) == ours


@given(st.from_regex(r"[a-z]{2,3}([-_][A-Z][a-z]{3})?([-_][A-Z]{2})?", fullmatch=True))
@pytest.mark.filterwarnings("ignore:language .* stands in no registry")
def test_any_well_formed_code_is_kept_and_read_the_same_again(code):
    assert our_code(our_code(code)) == our_code(code)


def test_a_code_of_no_registry_is_kept_with_a_note():
    with pytest.warns(UserWarning, match=r"'xx-YY' stands in no registry of languages; it is kept as 'xx-YY'"):
        assert our_code("xx-YY") == "xx-YY"


@pytest.mark.parametrize("code, hint", [("english", "en"), ("Chinese", "zh"), ("norwegian bokmål", "no"), ("xxyy", ""), ("", ""), (3, "")])
def test_what_is_no_code_is_refused_with_place_and_the_right_code(code, hint):
    with pytest.raises(InputError, match=r"^f\.jsonl, line 3: .* is no code of a language") as error:
        our_code(code, "f.jsonl, line 3")
    assert (f"did you mean {hint!r}" in str(error.value)) if hint else ("did you mean" not in str(error.value))
    assert len(str(error.value)) < 250, "no list of all languages"


def test_files_that_are_no_language_are_passed_over_with_a_note():
    with pytest.warns(UserWarning, match="folder: passed over, as not named by a language: README, dev, train"):
        assert by_language(["pt_BR", "pt", "dev", "README", "train", "iw"], "folder") == {"he": "iw", "pt": "pt"}
