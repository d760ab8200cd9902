"""The cases as one list, and how one is run."""

import dataclasses

from .behaviours import BEHAVIOURS, Address, Run
from .client import Client, Malformed
from .rejects import REJECTS, Reject


@dataclasses.dataclass(frozen=True)
class Case:
    id: str
    section: str
    run: Run


def refuse(reject: Reject) -> Run:
    """The server answers with a status that fits, then closes; silence and an end
    are accepted too, because a server may cut off what is not HTTP."""

    def run(client: Client, address: Address) -> None:
        client.send(reject.data)
        try:
            response = client.response()
        except EOFError:
            return
        assert response.status in reject.statuses, response
        assert client.is_closed(), "the connection stays open"

    return run


CASES = [Case(row.id, row.section, refuse(row)) for row in REJECTS] + [
    Case(row.id, row.section, row.run) for row in BEHAVIOURS
]

assert len({case.id for case in CASES}) == len(CASES)


def run_case(case: Case, address: Address) -> str | None:
    """None if it passed, else why not."""
    try:
        with Client(*address) as client:
            case.run(client, address)
    except AssertionError as error:
        return str(error) or "assertion failed"
    except (OSError, EOFError, Malformed, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None
