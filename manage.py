#!/usr/bin/env python
"""Django's command line for Tianji."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from environs import EnvError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")
    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        # A setting that is wrong is the operator's to repair: the sentence says how, a traceback hides it.
        sys.exit(f"{error}")
