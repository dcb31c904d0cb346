"""`python -m provision`."""

import sys

from provision.cli.main import main

sys.exit(main())
