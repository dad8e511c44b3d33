"""The command ``bioner-fast``."""

from bioner_fast.cli.main import main as main
