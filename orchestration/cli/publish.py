"""`belvedere publish`: put all tables into the warehouses."""

import argparse

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("warehouses", nargs="*", metavar="WAREHOUSE", help="which ones (default: all)")


def run(args: argparse.Namespace) -> Exit:
    """Publish to each warehouse."""
    from orchestration.assets.publish import warehouse_key
    from orchestration.cli.beats import tell_deliver
    from orchestration.cli.runs import run as run_job
    from orchestration.project import Project

    project = Project.load()
    names = [project.warehouse(name) and name for name in args.warehouses] or list(project.warehouses)
    ran = run_job("deliver", assets=[warehouse_key(name) for name in names])
    tell_deliver(ran)
    return ran.exit
