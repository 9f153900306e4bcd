"""The loader of PyTorch's transfer-learning tutorial: ImageFolder, transforms of Pillow images, DataLoader.

Two things are in its favour: bytes instead of the tutorial's floats come out, a quarter of what its workers would send, and they are kept between epochs.
"""

from collections.abc import Iterator

from tests.benchmarks.peers.answering import answer, read_settings, require


def main() -> None:
    versions = require("torchvision", "torch", "torchvision", "pillow")
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    folder, batch_size, side, settings = read_settings()
    workers = int(settings["workers"])
    steps = transforms.Compose([transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(), transforms.PILToTensor()])
    images = datasets.ImageFolder(folder, steps)
    loader = DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)

    def epoch() -> Iterator[int]:
        for inputs, _ in loader:
            assert inputs.shape[1:] == (3, side, side)
            yield len(inputs)

    answer(versions, epoch)


if __name__ == "__main__":
    main()
