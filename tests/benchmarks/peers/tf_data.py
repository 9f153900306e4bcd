"""`tf.data`, as its guides write it: parallel map and prefetch, both tuned by itself. The cache, where used, holds decoded photos in memory."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.answering import answer, read_settings, require


def make_pipeline(tf: Any, folder: str, batch_size: int, side: int, settings: dict[str, str]) -> Any:
    """Builds the pipeline, without its last prefetch.

    Args:
        tf: the library.
        folder: of the split.
        batch_size: images in a batch.
        side: of the crop, in pixels.
        settings: `cache` (0 or 1: keep decoded photos), `antialias` (0 or 1), `fused` (0 or 1: decode only the crop; not with the cache).
    """
    names = sorted(each.name for each in Path(folder).iterdir())
    files = sorted(str(each) for each in Path(folder).glob("*/*.jp*g"))
    labels = [names.index(Path(each).parent.name) for each in files]
    antialias, whole = settings["antialias"] == "1", tf.constant([[[0.0, 0.0, 1.0, 1.0]]])

    def draw(shape: Any) -> Any:
        bounds = {"min_object_covered": 0.0, "area_range": (0.08, 1.0), "aspect_ratio_range": (3 / 4, 4 / 3), "max_attempts": 10}
        return tf.image.sample_distorted_bounding_box(shape, whole, **bounds)[:2]

    def finish(image: Any, label: Any) -> tuple[Any, Any]:
        resized = tf.image.resize(image, (side, side), antialias=antialias)
        return tf.cast(tf.round(tf.clip_by_value(tf.image.random_flip_left_right(resized), 0.0, 255.0)), tf.uint8), label

    def decode(path: Any, label: Any) -> tuple[Any, Any]:
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3), label

    def crop(image: Any, label: Any) -> tuple[Any, Any]:
        begin, size = draw(tf.shape(image))
        return finish(tf.slice(image, begin, size), label)

    def decode_crop(path: Any, label: Any) -> tuple[Any, Any]:
        content = tf.io.read_file(path)
        begin, size = draw(tf.io.extract_jpeg_shape(content))
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        return finish(tf.image.decode_and_crop_jpeg(content, window, channels=3), label)

    data, automatic = tf.data.Dataset.from_tensor_slices((files, labels)), tf.data.AUTOTUNE
    if settings["cache"] == "1":
        data = data.map(decode, num_parallel_calls=automatic).cache().shuffle(len(files)).map(crop, num_parallel_calls=automatic)
    elif settings["fused"] == "1":
        data = data.shuffle(len(files)).map(decode_crop, num_parallel_calls=automatic)
    else:
        data = data.shuffle(len(files)).map(lambda path, label: crop(*decode(path, label)), num_parallel_calls=automatic)
    return data.batch(batch_size, num_parallel_calls=automatic)


def main() -> None:
    versions = require("tensorflow", "tensorflow-cpu", "tensorflow")
    import tensorflow as tf

    folder, batch_size, side, settings = read_settings()
    data = make_pipeline(tf, folder, batch_size, side, settings).prefetch(tf.data.AUTOTUNE)

    def epoch() -> Iterator[int]:
        for inputs, _ in data:
            assert (inputs.shape[1:], inputs.dtype) == ((side, side, 3), tf.uint8)
            yield len(inputs)

    answer(versions, epoch)


if __name__ == "__main__":
    main()
