"""`python -m cradle`: the same as the `cradle` script."""

from cradle.commands import main

main()
