"""`belvedere customer`: one customer, all round."""

import argparse
from pathlib import Path

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "show", metavar="NAME_OR_ID", help="customer id, account id, tax id, domain or part of the name"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write the page to a file")


def run(args: argparse.Namespace) -> Exit:
    """Show the customer, or the choices when several fit."""
    from orchestration.cli.console import fail, say, say_lines, table
    from orchestration.project import Project
    from orchestration.tables import Tables
    from pages.customer import customer_page, find_customers
    from pages.render import as_html, as_text

    tables = Tables(Project.load())
    found = find_customers(tables, args.show)
    if not found:
        fail(f"no customer fits {args.show!r}; try a part of the name, an account's id or a domain")
        return Exit.FAILED
    if len(found) > 1:
        say(f"{len(found)} customers fit {args.show!r}; name one by its id:")
        table(
            ("customer", "name", "country"),
            [(row["customer_id"], row["name"], row["country"]) for row in found[:20]],
        )
        return Exit.USAGE
    page = customer_page(tables, found[0]["customer_id"])
    say_lines(as_text(page))
    if args.html:
        args.html.write_text(as_html(page), "utf-8")
        say(f"page written to {args.html}")
    return Exit.DONE
