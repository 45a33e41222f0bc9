"""The C tables kept in the repository are what this compiler makes of the model beside them."""

from pathlib import Path

import pytest

from myowave.compiler import compile_tflite
from myowave.compiler.files import read_model
from tests.conftest import REPOSITORY

FOLDERS = (
    REPOSITORY / "firmware" / "engine" / "example",
    *sorted(path.parent for path in (REPOSITORY / "models").glob("*/model_data.c")),
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_kept_tables_are_what_compile_gives(folder: Path, tmp_path: Path) -> None:
    tflite, card = read_model(folder / "model.tflite")
    compile_tflite(tflite, tmp_path, card)
    place = folder.relative_to(REPOSITORY)
    for name in ("model_data.h", "model_data.c", "plan.json"):
        assert (folder / name).read_text() == (tmp_path / name).read_text(), (
            f"{place / name} is of another compiler, write it again: "
            f"myowave compile {place}/model.tflite -o {place}"
        )
