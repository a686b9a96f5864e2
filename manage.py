#!/usr/bin/env python
"""Django's command line for Tianji."""

import sys

from tianji.cli import run_django

if __name__ == "__main__":
    run_django(sys.argv)
