"""House: all that answers queries and learns from them, as the processes that it is."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from controlplane.database import Database
from controlplane.demo import parts
from controlplane.demo.options import Options
from controlplane.demo.site import Site
from controlplane.launch import Part, Program, running
from controlplane.steps import Steps


@contextmanager
def serving(
    steps: Steps, place: Site, store: Database, options: Options, admin_key: str
) -> Iterator[list[Part]]:
    """Both planes, and the tiers behind them; started in the order of need, stopped in reverse."""
    with ExitStack() as stack:

        def start(name: str, program: Program) -> Part:
            with steps(name):
                return stack.enter_context(running(program, place.logs))

        if options.cloud is None:
            start("provider, SIMULATED", parts.provider(place, options))
        if options.answers_drift:
            start("local model that will drift", parts.drifting(place, options))
        yield [
            start("data plane and engine", parts.dataplane(place, store)),
            start("control plane", parts.controlplane(place, store, admin_key)),
        ]
