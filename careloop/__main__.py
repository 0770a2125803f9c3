"""`python -m careloop` is the command `careloop`; processes are started this way, whatever PATH says."""

import sys

from careloop.cli import main

if __name__ == "__main__":
    sys.exit(main())
