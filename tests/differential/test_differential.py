"""Each server of others differs from us only where divergences.toml says why."""

from collections.abc import Iterator

import pytest

from . import servers, verdicts


@pytest.fixture(scope="module", params=servers.NAMES)
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """A server's name, and the cases in which it differs from us."""
    folder = tmp_path_factory.mktemp(request.param)
    with servers.running(request.param, folder, pytest.skip) as port:
        yield request.param, verdicts.diverging(port)


def test_every_divergence_is_explained(found: tuple[str, dict[str, str]]) -> None:
    name, cases = found
    known = verdicts.explained(name)
    assert {case: what for case, what in cases.items() if case not in known} == {}


def test_no_request_is_two_to_a_proxy(found: tuple[str, dict[str, str]]) -> None:
    """Whatever the reason: that would be smuggling."""
    assert verdicts.MORE not in found[1].values()


def test_an_explanation_names_a_case_of_the_corpus() -> None:
    cases = verdicts.corpus()
    for name in servers.NAMES:
        known = verdicts.explained(name)
        assert known and known.keys() <= cases.keys()
        assert all(len(why) > 10 for why in known.values())
