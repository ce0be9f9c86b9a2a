"""Run the sandbox by itself: `python -m sandbox`."""

import argparse
from datetime import date

from sandbox.server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="sandbox", description="Stand-ins of HubSpot, Odoo and Zendesk on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--today", type=date.fromisoformat, default=None)
    parser.add_argument("--days", type=int, default=0, help="days that have passed since, with changes on the first")
    serve(**vars(parser.parse_args()))
