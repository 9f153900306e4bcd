"""What was once handed out under an address stays so. These numbers are the contract, not a calculation to be repeated."""

import numpy as np
import pytest

from service.planning.address import PLAN_VERSION, Address, entity_tag
from service.planning.permutation import permute
from service.planning.plan import make_plan, plan_sample
from service.planning.seeds import sample_keys

CHANGED = (
    "The plan has changed: links that people saved now show other pixels. If that is meant, raise PLAN_VERSION in service/planning/address.py and renew these."
)


def test_this_is_the_version_that_the_numbers_belong_to() -> None:
    assert PLAN_VERSION == 1, "Renew every number in this file with the new PLAN_VERSION."


@pytest.mark.parametrize(
    ("seed", "epoch", "indices", "keys"),
    [
        (0, 0, [0, 1, 2], [9637630079515890890, 1278531798055566095, 8699018319203657348]),
        (1, 0, [0], [2956853505824801559]),
        (0, 1, [0], [9839706444719288091]),
        (2**70, 2**40, [10**8], [1591665098742198528]),
    ],
)
def test_keys(seed: int, epoch: int, indices: list[int], keys: list[int]) -> None:
    assert sample_keys(seed, epoch, np.array(indices)).tolist() == keys, CHANGED
    assert plan_sample(indices[0], seed, epoch).keys.tolist() == keys[:1], CHANGED


@pytest.mark.parametrize(
    ("size", "seed", "epoch", "positions", "indices"),
    [
        (5, 0, 0, range(5), [3, 4, 1, 0, 2]),
        (5, 0, 1, range(5), [1, 3, 0, 2, 4]),
        (10, 42, 0, range(10), [4, 9, 1, 5, 0, 2, 8, 6, 7, 3]),
        (244, 0, 0, range(8), [94, 66, 123, 141, 187, 215, 223, 16]),
        (1024, 0, 0, range(6), [94, 335, 854, 66, 416, 975]),
        (1025, 0, 0, range(6), [941, 173, 28, 827, 951, 676]),
        (10**5, 42, 3, range(6), [20731, 9310, 44819, 73377, 89872, 91583]),
        (10**8, 0, 0, range(4), [78787443, 33661302, 75836943, 80364714]),
        (2**62, 0, 0, (0, 2**62 - 1), [2374481632264270626, 2134599251027299463]),
    ],
)
def test_orders(size: int, seed: int, epoch: int, positions: range, indices: list[int]) -> None:
    assert permute(np.array(positions), size, seed, epoch).tolist() == indices, CHANGED


def test_plan(address: Address) -> None:
    plan = make_plan(address, 244)
    assert plan.indices.tolist() == [26, 131, 205, 214], CHANGED
    assert plan.keys.tolist() == [18019950088553155353, 16497316237679757979, 13625512180519675061, 17488500606782175345], CHANGED


def test_text(address: Address) -> None:
    assert address.text == (
        "/datasets/hymenoptera/splits/train/batches/3/11?batch_size=4&drop_last=false&dtype=float32&on_error=fail&rank=0"
        "&recipe=RandomResizedCrop%28224%29%20%7C%20ToTensor%28%29&seed=7&shuffle=true&version=0f1e2d3c&world_size=1"
    ), CHANGED


def test_tag(address: Address) -> None:
    assert entity_tag(address.text) == '"a28434cf0b1289acae0ad6436e9ee469"', CHANGED
    assert entity_tag(address.text, "png", "cpu", "engine") == '"a78e44cc11b55d044c4aaa140af0d9b7"', CHANGED
