"""torchvision's v2 transforms on uint8 tensors in a DataLoader: what its documentation recommends today."""

from collections.abc import Iterator

from tests.benchmarks.peers.answering import answer, read_settings, require


def main() -> None:
    versions = require("torchvision", "torch", "torchvision", "pillow")
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, io
    from torchvision.transforms import v2

    folder, batch_size, side, settings = read_settings()
    workers = int(settings["workers"])
    steps: list[torch.nn.Module] = [v2.RandomResizedCrop(side, antialias=True), v2.RandomHorizontalFlip()]
    if settings["decoder"] == "pillow":
        images = datasets.ImageFolder(folder, v2.Compose([v2.ToImage(), *steps]))
    else:
        images = datasets.ImageFolder(folder, v2.Compose(steps), loader=lambda path: io.decode_image(path, io.ImageReadMode.RGB))
    loader = DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)

    def epoch() -> Iterator[int]:
        for inputs, _ in loader:
            assert (inputs.shape[1:], inputs.dtype) == ((3, side, side), torch.uint8)
            yield len(inputs)

    answer(versions, epoch)


if __name__ == "__main__":
    main()
