"""`belvedere build`: make every table."""

import argparse

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--as-of", metavar="DATE", help="date that the scores are about, YYYY-MM-DD (default: today)")


def run(args: argparse.Namespace) -> Exit:
    """Run the build beat."""
    from orchestration.cli import beats

    return beats.build(args.as_of)
