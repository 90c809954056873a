"""The benchmarks are no installed package: they are found from the checkout."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent))
