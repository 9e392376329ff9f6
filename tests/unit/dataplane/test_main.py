import resource
import subprocess
import sys

import pytest

HOLD = """
import resource
from dataplane.__main__ import hold_many
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
hold_many()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard", "held"), [(256, 900, 900), (900, 900, 900)])
def test_it_may_hold_as_many_files_as_the_system_lets_it(soft: int, hard: int, held: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= hard
    command = [sys.executable, "-c", HOLD.format(soft=soft, hard=hard)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.split() == [str(held), str(hard)]
