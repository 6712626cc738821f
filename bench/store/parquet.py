"""Records to Parquet and back: the columns are the typed fields of a record's dataclass."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from bench.records import Record

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame


def write(records: Sequence[Record]) -> bytes:
    """Write records as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(type(records[0]))
    columns = {
        name: pa.array([getattr(record, name) for record in records], type=schema.field(name).type)
        for name in schema.names
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
    blob: bytes = sink.getvalue().to_pybytes()
    return blob


def read(blob: bytes) -> DataFrame:
    """Read records; integers are nullable, missing numbers are NaN."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    # no threads: they cost more than a hundred rows, and one may outlive the interpreter
    file = pq.ParquetFile(pa.BufferReader(blob), pre_buffer=False)
    table = file.read(use_threads=False)
    dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: DataFrame = table.to_pandas(types_mapper=dtypes.get, use_threads=False)
    return frame


def _schema(record: type[Record]) -> pa.Schema:
    """Derive a Parquet schema from a record's typed fields."""
    import pyarrow as pa

    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = typing.get_type_hints(record)
    columns = []
    for column in fields(record):
        hint = hints[column.name]
        optional = isinstance(hint, types.UnionType)
        plain = (
            next(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
            if optional
            else hint
        )
        columns.append(pa.field(column.name, arrow[plain], nullable=optional))
    return pa.schema(columns)
