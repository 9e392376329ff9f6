"""``python -m controlplane --config penstock.yaml``: the control plane as a process."""

import argparse
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from controlplane.database import check
from controlplane.settings import settings
from dataplane.contract.configuration import FILE, load
from dataplane.contract.errors import OperatorError


def main() -> int:
    """Serve until stopped; 2 for what the operator can mend, told in a line."""
    parser = argparse.ArgumentParser(prog="python -m controlplane", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(FILE), help="the configuration file")
    asked = parser.parse_args()
    logging.basicConfig(format="controlplane: %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        configuration = load(asked.config)
        chosen = settings(configuration, os.environ)
        check(chosen.database_url, "DATABASE_URL_CONTROLPLANE")
        # The learner's libraries take seconds to load: not before the configuration is known good.
        from controlplane import app, start  # noqa: PLC0415

        app.serve(chosen, start.start_policy(configuration, datetime.now(UTC)))
    except OperatorError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's last word
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
