"""`belvedere sandbox`: stand-ins of HubSpot, Odoo and Zendesk on this machine."""

import argparse
import os
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    url = urlsplit(os.environ.get("SANDBOX_URL", ""))
    parser.add_argument("--port", type=int, default=url.port or 8765, help="port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--customers", type=int, default=300, help="how many customers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another company (default: %(default)s)")
    parser.add_argument("--today", type=date.fromisoformat, default=None, help="its date, YYYY-MM-DD (default: today)")
    parser.add_argument("--days", type=int, default=0, help="days that have passed since, with changes on the first")


def run(args: argparse.Namespace) -> Exit:
    """Serve until interrupted."""
    from connectors.kit.errors import SettingsError
    from sandbox.server import serve

    try:
        serve(
            args.port,
            customers=args.customers,
            seed=args.seed,
            today=args.today or datetime.now(UTC).date(),
            days=args.days,
        )
    except OSError as error:
        raise SettingsError(
            f"port {args.port}: {error.strerror or error}; another one can be named in SANDBOX_URL, for the connections too"
        ) from None
    return Exit.DONE
