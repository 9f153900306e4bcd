"""NVIDIA DALI on the CPU."""

from collections.abc import Iterator

from tests.benchmarks.peers.answering import answer, read_settings, require


def main() -> None:
    versions = require("nvidia.dali", "nvidia-dali-cuda120", "nvidia-dali-cuda130")
    from nvidia.dali import fn, pipeline_def, types

    folder, batch_size, side, settings = read_settings()

    @pipeline_def(batch_size=batch_size, num_threads=int(settings["threads"]), device_id=None, prefetch_queue_depth=2)
    def pipeline():
        encoded, labels = fn.readers.file(file_root=folder, file_filters=["*.jpg", "*.jpeg"], random_shuffle=True, name="photos", pad_last_batch=False)
        bounds = {"random_area": [0.08, 1.0], "random_aspect_ratio": [3 / 4, 4 / 3]}
        if settings["fused"] == "1":
            images = fn.decoders.image_random_crop(encoded, device="cpu", output_type=types.RGB, **bounds)
            images = fn.resize(images, size=(side, side), interp_type=types.INTERP_LINEAR, antialias=True)
        else:
            images = fn.decoders.image(encoded, device="cpu", output_type=types.RGB)
            images = fn.random_resized_crop(images, size=(side, side), interp_type=types.INTERP_LINEAR, antialias=True, **bounds)
        return fn.flip(images, horizontal=fn.random.coin_flip()), labels

    built = pipeline()
    built.build()
    size = built.epoch_size("photos")

    def epoch() -> Iterator[int]:
        seen = 0
        while seen < size:
            images, _ = built.run()
            array = images.as_array()
            assert (array.shape[1:], str(array.dtype)) == ((side, side, 3), "uint8")
            seen += len(array)
            yield len(array)

    answer(versions, epoch)


if __name__ == "__main__":
    main()
