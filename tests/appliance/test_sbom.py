import json
from pathlib import Path

import pytest

from appliance.sbom import read_components


def test_each_component_is_named_with_its_licence(tmp_path: Path) -> None:
    components = [
        {"name": "numpy", "version": "2.4.1", "licenses": [{"license": {"id": "BSD-3-Clause"}}]},
        {
            "name": "libc6",
            "version": "2.36",
            "licenses": [{"expression": "LGPL-2.1-or-later"}, {"license": {"name": "own"}}],
        },
        {"name": "bare"},
    ]
    file = tmp_path / "sbom.cdx.json"
    file.write_text(json.dumps({"bomFormat": "CycloneDX", "components": components}))
    assert read_components(file) == [
        {"name": "numpy", "version": "2.4.1", "licence": "BSD-3-Clause"},
        {"name": "libc6", "version": "2.36", "licence": "LGPL-2.1-or-later, own"},
        {"name": "bare", "version": None, "licence": None},
    ]


def test_an_image_without_one_names_nothing(tmp_path: Path) -> None:
    assert read_components(tmp_path / "none.json") == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"bomFormat": "SPDX"}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sbom.cdx.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r".+"):
        read_components(file)
