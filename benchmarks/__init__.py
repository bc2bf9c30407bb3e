"""Speed and quality beside peers, as ratios in one run. Nothing imports this."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch loads, as the command does
