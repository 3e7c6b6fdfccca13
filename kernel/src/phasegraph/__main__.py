"""``python -m phasegraph`` is ``kernel``."""

from ._cli import main

main()
