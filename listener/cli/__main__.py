"""`python -m listener.cli`: the command line."""

from listener.cli import main

main()
