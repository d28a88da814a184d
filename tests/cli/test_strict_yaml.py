"""YAML without surprises: what is refused, in one line that says where, and what is read back as it was."""

import pytest
import yaml

from rspnet.cli.strict_yaml import read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "line 2, column 1: expected ',' or ']', but got '<stream end>'"),
        ("a: x\n\tb: 1\n", "line 2, column 1: found character '\\t' that cannot start any token"),
        ("a: x: y\n", "line 1, column 5: mapping values are not allowed here"),
        ("a: x\nb: &a {b: *c}\n", "line 2, column 11: found undefined alias 'c'"),
        (
            "a: !!python/name:os.system x\n",
            "line 1, column 4: could not determine a constructor for the tag",
        ),
        ("a: x\nb:\n  c: \0\n", "line 3: character #x0000 is not allowed"),
        ("a: 1\na: 2\n", "line 2: key 'a' is given twice; keep one"),
        ("- 1\n- [a: 1, a: 2]\n--- b\n", "line 3, column 1: but found another document"),
        ('a: "\\ud800"', "line 1: the text holds a NUL, or is not UTF-8"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(yaml.YAMLError) as caught:
        read_yaml(text)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_back():
    content = {"a": {"b": "1e-3", "c": 1e-3, "d": "yes", "e": None}, "f": [True, "ä", 2**40]}
    assert read_yaml(write_yaml(content)) == content
    assert read_yaml("1e-3") == 0.001
    assert read_yaml(write_yaml({"a": "010"})) == read_yaml("a: 010") == {"a": "010"}


def test_merge_keys():
    assert read_yaml("a: &a {b: 1, c: 2}\nd:\n  <<: *a\n  c: 3\n")["d"] == {"b": 1, "c": 3}
    with pytest.raises(yaml.YAMLError, match="line 5: key 'c' is given twice"):
        read_yaml("a: &a {b: 1}\nd:\n  <<: *a\n  c: 3\n  c: 4\n")
