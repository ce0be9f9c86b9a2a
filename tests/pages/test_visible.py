"""What of a text is spelt out before a terminal sees it."""

import pytest

from pages.visible import visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hansa & Söhne GmbH [Nord]", "Hansa & Söhne GmbH [Nord]"),
        ("\x1b[31mred\x1b]8;;http://x\x07", r"\x1b[31mred\x1b]8;;http://x\x07"),
        ("a\nb\rc\td\0", r"a\nb\rc\td\x00"),
        ("\x7f\x80\x9b31m\x9d", r"\x7f\x80\x9b31m\x9d"),
        ("evil\u202egnp.exe", "evil<U+202E>gnp.exe"),
        ("\u2066x\u2069\u200e\u200f\u061c", "<U+2066>x<U+2069><U+200E><U+200F><U+061C>"),
        ("A\u200bc\u2060m\ufeffe\xad", r"A<U+200B>c<U+2060>m<U+FEFF>e\xad"),
        ("Ac\u200cme\u200d", "Ac<U+200C>me<U+200D>"),
        ("\u2028\u2029\ud800\U000e0041", "<U+2028><U+2029><U+D800><U+E0041>"),
        ("می‌خواهم", "می‌خواهم"),
        ("\N{WOMAN}\u200d\N{PERSONAL COMPUTER}", "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}"),
    ],
)
def test_what_steers_turns_or_hides_is_spelt_out(text: str, expected: str):
    assert visible(text) == expected
    assert visible(expected) == expected
