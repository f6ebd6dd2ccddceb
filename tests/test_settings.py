"""What `--set` texts mean: one value or several, lists, words, and what is refused."""

from __future__ import annotations

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment.settings import one_run, read_settings


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("alpha=0.3", "alpha", 0.3),
        ("seeds=[4, 5]", "seeds", [4, 5]),
        ("seed=4", "seeds", [4]),
        ("train_in_place=false", "train_in_place", False),
        ("query_prefix=", "query_prefix", ""),
        ("name=mine", "name", "mine"),
        ("query_prefix='a=b'", "query_prefix", "a=b"),
        ('query_prefix="Ask, then: "', "query_prefix", "Ask, then: "),
        ("query_prefix=Frage: ", "query_prefix", "Frage: "),
        (" alpha = 1e-1", "alpha", 0.1),
    ],
)
def test_one_value_is_read_as_toml_and_else_as_text(text, key, value):
    assert one_run([text], "train") == {key: value}


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        ("alpha=0,0.25", (0, 0.25), "0 0.25"),
        ("seed=1,2", ([1], [2]), "1 2"),
        ("seeds=[1,2],[3]", ([1, 2], [3]), "[1,2] [3]"),
        ("precision=fp32, bf16", ("fp32", "bf16"), "fp32 bf16"),
        ('query_prefix="a,b","c"', ("a,b", "c"), '"a,b" c'),
        ('query_prefix=a: ,"b, c"', ("a: ", "b, c"), 'a:  "b, c"'),
        ("train_in_place=true,false", (True, False), "true false"),
        ('bases=["aligned"],["unaligned","aligned"]', (["aligned"], ["unaligned", "aligned"]), '["aligned"] ["unaligned","aligned"]'),
        ("alpha=0.1,x", (0.1, "x"), "0.1 x"),
    ],
)
def test_several_values_of_a_key(text, values, shown):
    (setting,) = read_settings([text])
    assert (setting.values, " ".join(setting.texts)) == (values, shown)
    with pytest.raises(InputError, match=r"2 values; `figures` is about one run at a time.*`run` takes several"):
        one_run([text], "figures")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds=1,2,3", "Write seeds=[1,2,3] for one run with all, or seeds=[1],[2],[3] for a run with each (in short seed=1,2,3)."),
        ("seeds=4", "seeds is a list. Write seeds=[4] for one run with all."),
        ("tasks=xquad-r,mlqa-r", 'Write tasks=["xquad-r","mlqa-r"] for one run with all, or tasks=["xquad-r"],["mlqa-r"] for a run with'),
        ("strategies=[hybrid,X-Y]", 'Write strategies=["hybrid","X-Y"] for one run with all'),
        ("seeds=[1],2", "Write seeds=[1,2] for one run with all, or seeds=[1],[2] for a run with each"),
        ("alpha", "expected key=value, for example --set alpha=0.3"),
    ],
)
def test_what_is_refused_says_how_to_write_it(text, said):
    with pytest.raises(InputError) as caught:
        read_settings([text])
    assert said in str(caught.value)


@pytest.mark.parametrize("texts", [["alpha=0", "alpha=1"], ["seeds=[1]", "alpha=0", "seed=2"]])
def test_a_key_is_set_once(texts):
    with pytest.raises(InputError, match=r"is set already. Write all values of a sweep in one"):
        read_settings(texts)
