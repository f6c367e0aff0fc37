"""What options that several commands share say."""

from __future__ import annotations

import argparse

from .tables import CSVFormat


def csv_format(args: argparse.Namespace) -> CSVFormat:
    """How a CSV file is written, as far as the options say."""
    return CSVFormat(args.encoding, args.decimal, args.thousands, args.skip_lines)
