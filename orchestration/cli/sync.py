"""`belvedere sync`: a whole night from the shell."""

import argparse

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--as-of", metavar="DATE", help="date that the scores are about, YYYY-MM-DD (default: today)")
    parser.add_argument("--no-deliver", action="store_true", help="stop before anything is written anywhere")


def run(args: argparse.Namespace) -> Exit:
    """Run a whole night."""
    return night(args.as_of, with_delivery=not args.no_deliver)


def night(as_of: str | None = None, *, with_delivery: bool = True) -> Exit:
    """Run the stages in order.

    A required connection that failed stops delivery, not the build; so does a check of severity ERROR on a table.
    """
    from orchestration.cli import beats
    from orchestration.cli.console import fail
    from orchestration.extract import failed_required
    from orchestration.project import Project

    project = Project.load()
    extracted = beats.extract()
    if extracted is Exit.HELD:
        return extracted
    built = beats.build(as_of)
    if built in (Exit.FAILED, Exit.HELD):
        if with_delivery:
            fail("nothing is delivered: the build failed, or a check of its tables did")
        return built
    if not with_delivery:
        return max(built, extracted)
    if missing := failed_required(project):
        fail(f"nothing is delivered: required connection {', '.join(missing)} could not be read")
        return Exit.FAILED
    delivered = beats.deliver()
    if delivered in (Exit.HELD, Exit.FAILED):
        return delivered
    return Exit.PARTS_MISSING if any((extracted, built, delivered)) else Exit.DONE
