"""``python -m pipeline`` and ``dpa-sse``."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
