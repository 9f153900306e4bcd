"""Several services, some of which fail, refuse or change: no batch is lost, repeated or mixed up."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest
import torch

from service.client import Answer, DatasetChanged, MalformedAnswer, RemoteLoader, ServerUnavailable
from service.errors import InvalidParameter, InvalidRecipe, SampleChanged, UnknownDataset, UnknownSplit
from tests.client.conftest import SMALL, URL, AppTransport, Network, OpenLoader, OpenService

OTHER = "http://localhost:8001"


class Meddler(AppTransport):
    """Passes requests for batches through something that may answer in the service's place."""

    def __init__(self, network: Network, meddle: Callable[[str, Callable[[], Answer]], Answer]) -> None:
        super().__init__(network)
        self._meddle = meddle

    def send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        if ".safetensors" not in path:
            return super().send(base_url, path, headers)
        return self._meddle(base_url, lambda: super(Meddler, self).send(base_url, path, headers))


def test_requests_are_spread_and_ranks_begin_with_different_servers(open_loader: OpenLoader, open_service: OpenService, network: Network) -> None:
    urls = [open_service(URL), open_service(OTHER)]
    list(open_loader(urls, batch_size=1))
    assert sorted(network.batches_of(URL)) == [f"0/{step}.safetensors" for step in (0, 2, 4, 6, 8)]
    assert sorted(network.batches_of(OTHER)) == [f"0/{step}.safetensors" for step in (1, 3, 5, 7)]
    network.asked.clear()
    list(open_loader(urls, batch_size=1, rank=1, world_size=2, uneven="share"))
    assert sorted(network.batches_of(OTHER)) == [f"0/{step}.safetensors" for step in (0, 2, 4)]


@pytest.mark.parametrize("lost", [URL, OTHER])
def test_a_server_goes_and_comes_back_in_the_midst_of_an_epoch(open_loader: OpenLoader, open_service: OpenService, network: Network, lost: str) -> None:
    urls = [open_service(URL), open_service(OTHER)]
    expected = list(open_loader(urls, batch_size=1, with_indices=True))
    away: dict[str, httpx.AsyncClient] = {}
    seen = []
    for batch in open_loader(urls, batch_size=1, with_indices=True, prefetch=2):
        seen.append(batch)
        if len(seen) == 2:
            away[lost] = network.clients.pop(lost)
        if len(seen) == 6:
            network.clients |= away
    assert sorted(int(batch[-1]) for batch in seen) == list(range(9))
    assert all(one.equal(other) for batch, wanted in zip(seen, expected, strict=True) for one, other in zip(batch, wanted, strict=True))


def test_a_loader_starts_while_one_server_is_down(open_loader: OpenLoader, open_service: OpenService) -> None:
    open_service(OTHER)
    assert len(list(open_loader([URL, OTHER]))) == 5
    with pytest.raises(ServerUnavailable, match=f"{URL}: nobody listens") as caught:
        open_loader([URL], patience_seconds=0.3)
    assert caught.value.facts["urls"] == [URL]


def test_a_service_that_is_busy_is_asked_again_when_it_said(open_loader: OpenLoader, open_service: OpenService, network: Network) -> None:
    open_service()
    refusals = iter([True, False, True, False, False, False, False, False])

    def meddle(url: str, send: Callable[[], Answer]) -> Answer:
        return Answer(503, {"retry-after": "1"}, memoryview(bytearray(b"{}"))) if next(refusals, False) else send()

    seen = torch.cat([indices for *_, indices in open_loader(with_indices=True, prefetch=1, transport=partial(Meddler, network, meddle))])
    assert sorted(seen.tolist()) == list(range(9))
    assert next(refusals, None) is False


def test_a_dataset_that_changes_in_the_midst_of_training_is_an_error(
    open_loader: OpenLoader, network: Network, dataset_folder: Path, make_image: Callable[..., Path]
) -> None:
    loader = open_loader(prefetch=1)
    state = loader.state_dict()
    batches = iter(loader)
    next(batches)
    make_image(dataset_folder / "train" / "cat" / "new.png")
    network.request("POST", URL, "/datasets/pets/refresh")
    with pytest.raises(DatasetChanged, match="no longer served") as caught:
        list(batches)
    after = open_loader()
    assert caught.value.facts["current"] == after.version != loader.version
    assert (after.dataset_size, loader.dataset_size) == (10, 9)
    with pytest.raises(DatasetChanged, match="saved on version"):
        after.load_state_dict(state)
    with pytest.raises(DatasetChanged):
        loader.explain(0, 0)


def test_a_file_that_changed_unnoticed_is_an_error(open_loader: OpenLoader, dataset_folder: Path, make_image: Callable[..., Path]) -> None:
    loader = open_loader()
    make_image(dataset_folder / "train" / "owl" / "owl-0.jpg", size=(33, 44), seed=99)
    with pytest.raises(SampleChanged, match=r"owl-0\.jpg"):
        list(loader)


def test_servers_have_to_serve_the_same_version(
    open_loader: OpenLoader, open_service: OpenService, network: Network, dataset_folder: Path, make_image: Callable[..., Path]
) -> None:
    open_service(URL)
    make_image(dataset_folder / "train" / "cat" / "new.png")
    open_service(OTHER)
    with pytest.raises(DatasetChanged, match=OTHER) as caught:
        list(open_loader([URL, OTHER]))
    assert caught.value.facts["url"] == OTHER


def test_names_that_do_not_exist_are_told_at_once(open_loader: OpenLoader) -> None:
    with pytest.raises(UnknownDataset, match=r"no dataset 'pest'. Known: pets") as caught:
        open_loader(dataset="pest")
    assert caught.value.facts["known"] == ["pets"]
    with pytest.raises(UnknownDataset):
        open_loader(dataset="pets?a=b#c d")
    with pytest.raises(UnknownSplit, match=r"'test'. Known: train, val"):
        open_loader(split="test")
    with pytest.raises(InvalidRecipe, match="Resizee"):
        open_loader(recipe="Resizee(3)")
    with pytest.raises(InvalidParameter, match="batch_size"):
        open_loader(batch_size=0)
    with pytest.raises(InvalidParameter, match="float16 needs a recipe that yields floats"):
        open_loader(recipe="RandomCrop(9)", dtype="float16")
    with pytest.raises(InvalidParameter, match="seed"):
        open_loader(seed=-1)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"urls": []}, "no URL"), ({"urls": "lab"}, "'lab' is no URL"), ({"prefetch": 0}, "prefetch 0"), ({"as_numpy": True, "device": "cpu"}, "as_numpy")],
)
def test_options_that_make_no_sense_are_told_at_once(options: dict, match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        RemoteLoader(**{"urls": URL, "dataset": "pets", **options})


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        (b"/batches/0/0?", b"/batches/0/1?", "whose address is '/datasets/pets/splits/train/batches/0/1[?]"),
        (b"seed=0", b"seed=5", "seed=5"),
        (b"world_size=1", b"world_size=2", "world_size=2"),
        (b"/splits/train/", b"/splits/tests/", "/splits/tests/"),
        (b'"tail":"ToTensor()', b'"tail":"ToTenzor()', "whose tail is"),
        (b'"dtype":"I64"', b'"dtype":"U64"', "no safetensors file of known types"),
        (b'"labels":', b'"lables":', "whose labels is of type None"),
        (b'"__metadata__"', b'"__metadete__"', "no safetensors file|whose address is None"),
    ],
)
def test_an_answer_to_another_question_is_refused(open_loader: OpenLoader, network: Network, before: bytes, after: bytes, match: str) -> None:
    def meddle(url: str, send: Callable[[], Answer]) -> Answer:
        answer = send()
        content = bytes(answer.body)
        assert before in content
        return Answer(200, answer.headers, memoryview(bytearray(content.replace(before, after, 1))))

    loader = open_loader(transport=partial(Meddler, network, meddle), recipe=SMALL)
    with pytest.raises(MalformedAnswer, match=match):
        list(loader)


@pytest.mark.parametrize(
    ("urls", "options", "expected"),
    [
        (URL.replace("//", "//alice:secretpw@"), {}, {"Authorization": "Basic YWxpY2U6c2VjcmV0cHc="}),
        (URL, {"token": "secretpw"}, {"Authorization": "Bearer secretpw"}),
        (URL, {"headers": {"X-Key": "secretpw", "User-Agent": "mine"}}, {"X-Key": "secretpw", "User-Agent": "mine"}),
    ],
)
def test_credentials_go_along_and_are_never_shown(
    open_loader: OpenLoader, network: Network, urls: str, options: dict, expected: dict, caplog: pytest.LogCaptureFixture
) -> None:
    loader = open_loader(urls, patience_seconds=0.3, **options)
    next(iter(loader))
    assert len(network.sent) >= 4
    assert all(each.items() >= expected.items() for each in network.sent)
    network.clients.clear()
    with pytest.raises(ServerUnavailable) as caught:
        loader.explain(0, 0)
    told = [
        repr(loader),
        repr(vars(loader)),
        repr(vars(loader._reader)),
        repr(loader._reader._sessions.__reduce__()),
        str(caught.value),
        repr(caught.value.facts),
        caplog.text,
    ]
    for text in told:
        assert "secretpw" not in text
        assert "YWxpY2U6c2VjcmV0cHc=" not in text
