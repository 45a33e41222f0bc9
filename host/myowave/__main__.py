"""`python -m myowave`."""

import sys

from myowave.cli import main

if __name__ == "__main__":
    sys.exit(main())
