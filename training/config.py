"""The hyperparameters of a training run, each with the reason for its default."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.errors import UsageError

DEFAULT_BACKBONE = "mobilenet_v2_050_224"
IN_USE = "in-use"  # as a backbone: that of the model in use, tuned or not
AUTO = "auto"  # fine-tune if the backbone can be
ALL = "all"
FROZEN = "0"
FLOAT16 = "float16"
FLOAT32 = "float32"
DYNAMIC = "dynamic"  # 8 bits a weight, activations as they come
PRECISIONS = (FLOAT16, FLOAT32, DYNAMIC)
_AUTO_BLOCKS = 12  # of MobileNet V2: all that come after `block_5_add`


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What a run is made of besides the photos; equal configs on equal photos give equal models.

    Raises: UsageError if a value makes no sense.
    """

    backbone: str = DEFAULT_BACKBONE  # a name of backbones.HUB_HANDLES, a path, a URL, an S3 URI
    steps: int = 1_000  # of the head; more than that changed validation accuracy by under .01
    min_images: int = 200  # the tutorial's: fewer readable photos teach a category badly
    test_percent: int = 10
    validation_percent: int = 10
    manifest: str = ""  # the photos to use, where not all are: training/manifest.py
    # A table of what the classify function saw; listed photos are read from it where they can be.
    embeddings: str = ""
    # Folders or S3 prefixes of photos for just that; then no other photo is held back for it.
    validation: str = ""
    test: str = ""
    holdout_shop: str = ""  # measured on its photos alone, and trained on none of them
    precision: str = FLOAT16  # of the .tflite's weights; FLOAT32 where it would not answer alike
    cache_gb: float = 10.0  # what runs leave for the next one at most: some 60,000 decoded photos
    seed: int = 0  # of the head's first weights and its sampling; the split follows content alone
    # On 609 clothing photos held out of training, two seeds: .805 right, calibrated by a
    # temperature of .93; without decay .803 and 1.03; at 2e-3 without decay .794 and 1.5. The
    # same order on the 341 validation photos (.848, .848, .824), so it is not tuned to those.
    learning_rate: float = 5e-4
    weight_decay: float = 1.0
    batch_size: int = 100
    corrections: str = ""  # labels that people gave: a file or an S3 URI (training/corrections.py)
    head_smoothing: float = 0.1  # of labels; on 313 photos, three seeds: .799 right, .781 at 0
    distortions: int = 0  # variants of each photo that the head learns from, too; cached
    patience: int = (
        5  # hundreds of steps without a lower loss on validation end the head's training
    )
    max_error: float = 0.05  # of what is answered; less sure answers become `unknown`
    # The blocks of the backbone that learn, too, counted from its end: a number, AUTO or ALL.
    fine_tune: str = AUTO
    # What follows was compared on 3,409 photos of clothes in four folds, and again with whole
    # clusters of look-alikes held out ("shift"), with two seeds (standard error .006). Alpha 0.35:
    # .892 right and .839 under shift; with 6 epochs of crops of 50 to 100 % at a rate of 5e-4, .878
    # and .794. Longer was better (10 epochs +.002, +.008 under shift), and takes longer.
    epochs: int = 9  # of fine-tuning
    # In all epochs together at most: a CPU does these in minutes, however many photos there are.
    fine_tune_photos: int = 40_000
    fine_tune_rate: float = 0.0  # 0: as suits the backbone's size (fine_tune.suitable_rate)
    fine_tune_decay: float = 0.02  # .1 was no better
    fine_tune_batch: int = 32
    label_smoothing: float = 0.1  # .05 and .2 were no better
    min_area: float = 0.4  # of what is shown of a photo; zooming out, too, is worth
    max_area: float = 1.3  # .007 under shift and .02 on photos that were distorted
    max_aspect: float = 4 / 3  # of the window that is shown
    colour: float = 0.3  # brightness, contrast and saturation change by up to this
    dropout: float = 0.2  # of the features: +.009 under shift
    small_share: float = 0.6  # of the steps at 160 pixels: half as many epochs again in equal time

    @property
    def blocks(self) -> int:
        """How many blocks of the backbone are trained at most."""
        return {AUTO: _AUTO_BLOCKS, ALL: 10_000}.get(self.fine_tune) or int(self.fine_tune)

    def __post_init__(self) -> None:
        self._check_words()
        least_of = {"steps": 1, "min_images": 1, "batch_size": 1, "seed": 0, "patience": 0,
                    "distortions": 0, "epochs": 1, "fine_tune_photos": 1,
                    "fine_tune_batch": 1}  # fmt: skip
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; at least {least} is needed")
        for name in ("learning_rate", "weight_decay", "fine_tune_rate",
                     "fine_tune_decay", "cache_gb"):  # fmt: skip
            if not 0 <= getattr(self, name) < float("inf"):  # also true of NaN
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more")
        for name in ("head_smoothing", "label_smoothing", "colour", "dropout", "small_share",
                     "max_error"):  # fmt: skip
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if not 0 < self.min_area <= self.max_area < float("inf"):
            raise UsageError(f"areas of {self.min_area} to {self.max_area}; expected more than 0")
        if not 1 <= self.max_aspect < float("inf"):
            raise UsageError(f"max_aspect is {self.max_aspect}; expected 1 or more")
        if self.holdout_shop and (self.validation or self.test):
            raise UsageError(
                f"a shop held out ({self.holdout_shop!r}) measures the model, and so do folders of "
                "validation and test photos: give one or the other"
            )
        # Without a test photo those of the validation folder measure the model.
        for name, least in (("test_percent", 0 if self.validation else 1),
                            ("validation_percent", 0)):  # fmt: skip
            if not least <= getattr(self, name) <= 90:
                raise UsageError(f"{name} is {getattr(self, name)}; expected {least} to 90")
        if self.test_percent + self.validation_percent > 90:
            raise UsageError(
                f"{self.test_percent} % test and {self.validation_percent} % validation photos "
                "leave too few to train on; together at most 90"
            )

    def _check_words(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}"
            )
        if self.fine_tune not in {AUTO, ALL} and not self.fine_tune.isdecimal():
            raise UsageError(
                f"fine_tune is {self.fine_tune!r}; expected a number of blocks, {AUTO!r} or {ALL!r}"
            )
