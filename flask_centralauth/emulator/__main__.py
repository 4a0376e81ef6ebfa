"""``python -m flask_centralauth.emulator``."""

import sys

from .cli import main

sys.exit(main())
