"""Makes the tiny backbone of the tests: eight colours' worth of features, always the same.

Run `python -m tests.training.make_tiny`; it needs TensorFlow, the tests that use its two files
do not.
"""

from __future__ import annotations

from tests.training.tiny import BACKBONE, GRAPH


def main() -> None:
    """Write the Keras file, and the graph that training makes of it."""
    import keras

    from training.backbones import local
    from training.graph import written_graph

    keras.utils.set_random_seed(3)
    photo = keras.Input((224, 224, 3))
    small = keras.layers.AveragePooling2D(28)(photo)
    features = keras.layers.Conv2D(8, 3, activation="relu")(small)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    keras.Model(photo, pooled).save(BACKBONE)
    GRAPH.write_bytes(written_graph(local(BACKBONE)))


if __name__ == "__main__":
    main()
