"""`python -m ewallet` is the `ewallet` command."""

from ewallet.cli import main

main()
