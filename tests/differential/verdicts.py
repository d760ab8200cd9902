"""What a server makes of each request of the corpus, and why it may differ from us."""

import pathlib
import tomllib
from concurrent.futures import ThreadPoolExecutor

from tests.conformance.behaviours import ACCEPTED
from tests.conformance.client import Client, Malformed
from tests.conformance.rejects import REJECTS

ACCEPT, REFUSE, WAIT, MORE = "accepts", "refuses", "waits", "answers twice"
WAIT_S = 2.0
QUIET_S = 0.05

DIVERGENCES = pathlib.Path(__file__).with_name("divergences.toml")


def corpus() -> dict[str, tuple[bytes, str]]:
    """Of each case by its id the bytes, and what we do: tests/conformance shows it."""
    found = {row.id: (row.data, REFUSE) for row in REJECTS}
    found |= {case_id: (data, ACCEPT) for case_id, _, data, _ in ACCEPTED}
    return found


def verdict(port: int, data: bytes) -> str:
    with Client("127.0.0.1", port, WAIT_S) as client:
        client.send(data)
        try:
            response = client.response()
        except TimeoutError:
            return WAIT
        except (EOFError, Malformed, OSError, ValueError):
            return REFUSE  # it ended without an answer
        if response.status >= 400:
            return REFUSE
        return ACCEPT if client.is_quiet(QUIET_S) else MORE


def verdicts(port: int) -> dict[str, str]:
    cases = corpus()
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda case: verdict(port, case[0]), cases.values())
        return dict(zip(cases, found, strict=True))


def diverging(port: int) -> dict[str, str]:
    """The cases in which the server differs from us, and what it does."""
    cases = corpus()
    return {case: what for case, what in verdicts(port).items()
            if what != cases[case][1]}


def explained(server: str) -> dict[str, str]:
    """The cases for which divergences.toml says why, and what it says."""
    reasons = tomllib.loads(DIVERGENCES.read_text())["reason"]
    return {case: reason["why"] for reason in reasons
            for case in reason.get(server, [])}
