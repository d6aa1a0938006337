from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.shops.tiny_goods import write_goods


@pytest.fixture(scope="session")
def goods_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_goods(tmp_path_factory.mktemp("tiny") / "goods")
