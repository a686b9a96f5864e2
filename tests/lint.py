"""`make lint`: the linters of `make test`, without the tests."""

from __future__ import annotations

import sys

from tests.run import linters, step


def main() -> int:
    failures = [title for title, command, environment in linters() if not step(title, command, environment)]
    print(f"\nFailed: {', '.join(failures)}." if failures else "\nAll good.")  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
