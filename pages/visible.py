"""Make source text safe to print: characters that control the terminal, reorder or hide text are escaped."""

import re

# Controls (C0, DEL, C1), line and paragraph separators, bidirectional marks, embeddings, overrides and isolates, soft
# hyphen, zero-width characters, tags, lone surrogates. Zero-width joiners stay where scripts need them: after a
# character that is not ASCII.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]|(?<![^\x00-\x7f])[\u200c\u200d]"
)


def visible(text: str) -> str:
    r"""Return text in one line with hidden characters escaped: `\x1b`, `\n`, `<U+202E>`."""
    return text if text.isascii() and text.isprintable() else _HIDDEN.sub(_spelt, text)


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    return repr(match[0])[1:-1] if code < 0x100 else f"<U+{code:04X}>"
