"""``python -m dpa_sse.pipeline`` and ``dpa-sse``."""

from dpa_sse.pipeline.cli import main

if __name__ == "__main__":
    main()
