"""`belvedere extract`: pull what changed into the lake."""

import argparse

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--stream", action="append", default=[], help="only this stream; may be given more than once")
    parser.add_argument("--full", action="store_true", help="read everything again, without dropping what is held")


def run(args: argparse.Namespace) -> Exit:
    """Run the extract beat."""
    from orchestration.cli import beats

    return beats.extract(args.connections, args.stream, full=args.full)
