"""Samples that take more memory than a process may have, and samples that kill under every address."""

from tests.reliability.conftest import StartServer, loaders
from tests.reliability.test_worker_deaths import BLACK, PLANTED, batch, check_index, with_black  # noqa: F401  a fixture

ADDRESS_SPACE_BYTES = 12 << 30


def test_a_memory_bomb_fails_alone_and_names_its_sample(start_server: StartServer, with_black: int) -> None:  # noqa: F811
    server = start_server(workers=1, module=PLANTED, address_space_bytes=ADDRESS_SPACE_BYTES)
    check_index(server, with_black)
    problems = [server.get(batch(with_black, "Devour()")) for _ in range(3)]
    assert {each.status_code for each in problems} == {422}
    assert len({each.text for each in problems}) == 1
    assert (problems[0].json()["sample"], problems[0].json()["file"]) == (with_black, BLACK)
    assert all(server.get(batch(index, "Devour()")).status_code == 200 for index in range(5))


def test_a_killer_under_other_addresses_ends_no_more_workers(start_server: StartServer, with_black: int) -> None:  # noqa: F811
    server = start_server(workers=1, module=PLANTED)
    for seed in range(6):
        assert server.get(batch(with_black, "Die()", seed)).json()["code"] == "render-crashed"
    assert loaders(server)[0]["restarts"] <= 4
    assert server.get(batch(with_black, "Identity()")).status_code == 200
