"""A table as CSV: all digits of the records where it holds numbers, else the cells as they are printed."""

from __future__ import annotations

import csv
import io

import numpy as np

from assignbench.characters import printable
from assignbench.report.tables import Table


def table_csv(table: Table) -> str:
    """Header and rows. Shares and APs lie between 0 and 1 where the table has its data, and are printed ones without.

    A number without value is empty; lines end as RFC 4180 says.
    """
    out = io.StringIO()
    write = csv.writer(out)
    if table.data is None:
        bands = [[band] for band in table.bands] or [[]] * len(table.rows)  # which a spreadsheet wants in every row
        write.writerow([printable(c) for c in ([table.band] if table.bands else []) + table.header])
        write.writerows([[printable(c) for c in band + row] for band, row in zip(bands, table.rows, strict=True)])
        return out.getvalue()
    write.writerow([printable(str(c)) for c in table.data.columns])
    write.writerows([_cell(v) for v in row] for row in table.data.itertuples(index=False))
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{float(value):.12g}"
    return printable(str(value))
