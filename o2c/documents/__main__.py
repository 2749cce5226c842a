"""`python -m o2c.documents [--check]`: write the generated documents, or say which are out of date."""

import argparse
import sys

from o2c.documents.written import documents, out_of_date, write


def main() -> int:
    """Exit code 0: all is as it should be; 1: `--check` found a document that is out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m o2c.documents", description="Keep the documents made from the code."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a document is out of date")
    check = parser.parse_args().check
    touched = out_of_date(documents()) if check else write(documents())
    for path in touched:
        print(f"{path} is out of date" if check else f"wrote {path}")
    return 1 if check and touched else 0


if __name__ == "__main__":
    sys.exit(main())
