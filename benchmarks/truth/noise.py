"""How people and imports spoil what is true: slips of the finger, gaps, other spellings, moves."""

from random import Random

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def slip(text: str, chance: Random) -> str:
    """Leave out, double, swap or mistype one letter."""
    place = chance.randrange(max(1, len(text) - 1))
    before, letter, after = text[:place], text[place : place + 1], text[place + 1 :]
    return chance.choice(
        (
            before + after,
            before + letter + letter + after,
            before + after[:1] + letter + after[1:],
            before + chance.choice(LETTERS) + after,
        )
    )


def rarely(chance: Random, share: float, text: str) -> str:
    """Mistype a share of the texts."""
    return slip(text, chance) if text and chance.random() < share else text


def gap(chance: Random, share: float, text: str | None) -> str | None:
    """Leave out a share of the texts."""
    return None if chance.random() < share else text


def case(chance: Random, text: str) -> str:
    """Write a fifth of the texts in capitals."""
    return text.upper() if chance.random() < 0.2 else text
