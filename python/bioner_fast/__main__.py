"""``python -m bioner_fast`` is the command ``bioner-fast``."""

from bioner_fast.cli import main

if __name__ == "__main__":
    main()
