"""Run the suite against a server that serves tests.conformance.app:app."""

import argparse
import sys

from .suite import cases, run_case


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--address", required=True, metavar="HOST:PORT")
    parser.add_argument("-k", default="", metavar="TEXT", help="only ids with TEXT")
    parser.add_argument("--failed", action="store_true", help="print only failures")
    parser.add_argument("--strict", action="store_true",
                        help="demand what a server may leave out")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    address = (host.strip("[]"), int(port))

    chosen = [case for case in cases(options.strict) if options.k in case.id]
    failed = 0
    for case in chosen:
        why = run_case(case, address)
        failed += why is not None
        if why or not options.failed:
            print(f"{'FAIL' if why else 'ok':4}  {case.section:14}  {case.id}"
                  + (f"  ({why[:200]})" if why else ""), flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
