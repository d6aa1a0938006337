"""Tiny goods in the catalogue's format, so that no test needs a network."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

HEADER = (
    "name ,slug ,description ,assets ,facets ,optionGroups,optionValues ,sku ,price ,stockOnHand"
)
KINDS = (
    ("Electronics", "Computers"),
    ("Electronics", "Photo"),
    ("Sports & Outdoor", "Footwear"),
    ("Home & Garden", "Plants"),
)
COUNT = 20


def write_goods(folder: Path, count: int = COUNT) -> Path:
    (folder / "images").mkdir(parents=True)
    lines = [HEADER]
    for at in range(count):
        department, category = KINDS[at % len(KINDS)]
        brand = "|brand:Acme" if at % 3 == 0 else ""
        facets = f"category:{department}|category:{category}{brand}"
        text = f'"Good ""number"" {at}, <b>fine</b> & cheap "'
        price = f"{1200 + at}.50"
        lines.append(f"Good {at}  ,good-{at} ,{text},{at}.jpg,{facets},,,S/{at} ,{price} ,100")
        lines.append(f" , , , , , ,Large,S/{at}-L ,{at + 1}.50 ,100")
        colour = (at * 12 % 256, 80, 160)
        Image.new("RGB", (200, 120), colour).save(folder / "images" / f"{at}.jpg")
    (folder / "products.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
