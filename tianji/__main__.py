"""`python -m tianji`: the same as the command `tianji`."""

from tianji.cli import main

main()
