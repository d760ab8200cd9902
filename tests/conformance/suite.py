"""The cases as one list, and how one is run."""

import dataclasses

from .behaviours import BEHAVIOURS, Address, Run
from .client import Client
from .deflate import DEFLATE
from .rejects import REJECTS, Reject


@dataclasses.dataclass(frozen=True)
class Case:
    id: str
    section: str
    run: Run


def refuse(reject: Reject, strict: bool) -> Run:
    """The server answers with a status that fits, then closes.  Unless `strict`, an
    end without an answer is accepted: a server may cut off what is not HTTP."""

    def run(client: Client, address: Address) -> None:
        client.send(reject.data)
        if not strict and reject.data.startswith(b"PRI ") and client.speaks_http2():
            return  # it need not refuse what it understands
        try:
            response = client.response()
        except EOFError:
            assert not strict, "closed without a status"
            return
        assert response.status in reject.statuses, response
        assert client.is_closed(), "the connection stays open"

    return run


def cases(strict: bool) -> list[Case]:
    """All cases.  `strict`: what a server may leave out (a status before it cuts off,
    permessage-deflate) is demanded too."""
    found = [Case(row.id, row.section, refuse(row, strict)) for row in REJECTS]
    found += [Case(row.id, row.section, row.run) for row in BEHAVIOURS]
    if strict:
        found += [Case(row.id, row.section, row.run) for row in DEFLATE]
    assert len({case.id for case in found}) == len(found)
    return found


def run_case(case: Case, address: Address) -> str | None:
    """None if it passed, else why not."""
    try:
        with Client(*address) as client:
            case.run(client, address)
    except AssertionError as error:
        return str(error) or "assertion failed"
    except Exception as error:  # whatever a server's bytes lead to is its failure
        return f"{type(error).__name__}: {error}"
    return None
