"""Parquet files measured by Spark: it reads and shuffles, each of its tasks asks its rows in a DuckDB of its own.

A task gets Arrow batches (`mapInArrow`), answers one query over them and returns one row of answers; what must be counted across
tasks (values of text, how many differ) Spark groups. Of the rows themselves only the first 2,048 come to the driver. What runs
there needs `duckdb` and what PySpark wants for Arrow, of the driver's versions, and nothing of assay's.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assay.errors import UsageError
from assay.profile.batch import Progress
from assay.profile.document import Profile
from assay.profile.engine import KeyType, Row
from assay.profile.parts import HEAD_ROWS, ROWS, START, Parted
from assay.profile.summarize import measure_table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["profile_by_spark", "session"]

#: Rows of an Arrow batch: enough that Python's share of a task is small.
_BATCH_ROWS: Final = 65_536
_FIELD: Final = re.compile(r'"field_(\d+)"')
_CHEAP: Final = ("boolean", "byte", "short", "integer", "long", "date", "float", "double", "timestamp", "timestamp_ntz")
_SPARK_TYPES: Final[dict[KeyType, str]] = {"VARCHAR": "string", "BIGINT": "bigint"}


def profile_by_spark(paths: Sequence[str], *, dataset: str = "", progress: Progress | None = None) -> Profile:
    """Measure Parquet files: paths as Spark takes them, of files, folders or globs, on any file system that it reaches.

    They are one dataset: columns are found by name, and a file without one has NULL there. Runs where Spark's own
    configuration says, on this machine by default.

    Raises:
        UsageError: there is no PySpark or no Java, or the files cannot be read.
    """
    import duckdb

    spark = session()
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    what = ", ".join(paths)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what PySpark thinks of pandas, which is not used
            engine = _Spark(spark, paths)
            names = [name for name, _ in engine.fields]
            return measure_table(engine, ROWS, dataset=dataset, progress=progress, names=names)
    except (PySparkException, Py4JError) as error:
        raise UsageError(f"{what} cannot be read by Spark: {_reason(error)}") from error
    except duckdb.Error as error:
        raise UsageError(f"{what} cannot be measured: {error}") from error


def session() -> SparkSession:
    """Spark's session, begun where there is none. It says nothing on stderr.

    Raises:
        UsageError: there is no PySpark, no Java, or it did not start.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError("the engine spark needs PySpark 4: install it with `pip install 'assay[spark]'`") from error
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").exists() if home else shutil.which("java")):
        where = f"there is none in JAVA_HOME, {home}" if home else "there is none on PATH, and JAVA_HOME is not set"
        raise UsageError(
            f"the engine spark needs Java 17 or newer, and {where} (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)"
        )
    with _quiet() as said, _this_python():
        try:
            builder = SparkSession.builder.appName("assay profile").config("spark.ui.showConsoleProgress", "false")
            return builder.getOrCreate()
        except Exception as error:  # whatever Java, a cluster or a setting of either has to say
            raise UsageError(f"Spark did not start: {_reason(error)} {_last_words(said())}".rstrip()) from error


@contextmanager
def _quiet() -> Iterator[Callable[[], str]]:
    """What is started here has a file for its stderr, for good; what is yielded reads it."""
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(own, 2)
            os.close(own)


@contextmanager
def _this_python() -> Iterator[None]:
    """Tasks run by the Python that runs this, unless it is said which: another may lack DuckDB."""
    if "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]


def _last_words(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return f"({lines[-1]})" if lines else ""


def _reason(error: Exception) -> str:
    """What went wrong, in a line: of an error in a task the last line of its traceback, of one in Java its first."""
    text = str(error)
    tracebacks = re.findall(r"^(?:\w+\.)*(?:\w+(?:Error|Exception)): .*$", text, re.MULTILINE)
    if "Traceback (most recent call last)" in text and tracebacks:
        return str(tracebacks[-1])
    causes = re.findall(r"^Caused by: (.*)$", text, re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = causes[-1] if causes else lines[0] if lines else type(error).__name__
    return re.sub(r"^(?:\w+\.)+\w+: ", "", reason)  # the class, in Java


def _name(file: dict[str, Any]) -> str:
    return str(file["path"])


class _Spark(Parted):
    """The rows of Parquet files, in Spark's partitions. Their columns are `field_0`, `field_1`, ... in SQL."""

    def __init__(self, spark: SparkSession, paths: Sequence[str]) -> None:
        import duckdb

        self._spark = spark
        # Names that differ in case alone are two; times are UTC's; and all files have a say in what columns there are.
        spark.conf.set("spark.sql.caseSensitive", "true")
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(_BATCH_ROWS))
        self._frame = spark.read.option("mergeSchema", "true").parquet(*paths)
        self.fields = [(field.name, field.dataType) for field in self._frame.schema.fields]
        if not self.fields:
            raise UsageError("a table without columns cannot be profiled; is it the right one?")
        types = [kind.typeName() for _, kind in self.fields]
        cheap = [i for name in _CHEAP for i, kind in enumerate(types) if kind == name]
        #: Read where a query counts rows and names no column.
        self._cheapest = cheap[0] if cheap else 0
        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        self._runs: list[tuple[int, int]] = []
        self._places: dict[int, int] = {}
        self._files = sorted(self._frame.inputFiles())
        con.register("first_rows", self._first_rows())
        json = self._json()
        named = [
            f"field_{i}::JSON AS field_{i}" if name in json else f"field_{i}" for i, (name, _) in enumerate(self.fields)
        ]
        con.execute(f"CREATE TABLE {ROWS} AS SELECT {', '.join(named)} FROM first_rows")
        super().__init__(con)

    def answers(self, sql: str) -> list[Row]:
        """See `Parted`."""
        found = self._columns(sql).mapInArrow(_answering(sql), "answer binary").toArrow()
        return [pickle.loads(answer) for answer in found.column("answer").to_pylist()]  # noqa: S301 - our own tasks'

    def runs(self, sql: str, starts: Sequence[int] = ()) -> list[list[Row]]:
        """See `Parted`."""
        from pyspark.sql import functions as sf

        place = [sf.xxhash64("_metadata.file_path").alias("file"), sf.col("_metadata.row_index").alias("row")]
        rows = self._columns(sql, *place)
        begun = dict(zip(self._runs, starts, strict=True)) if starts else {}
        found = rows.mapInArrow(_answering_runs(sql, begun), "file bigint, row bigint, answer binary").toArrow()
        if not self._places:
            self._places = self._order()
        each = sorted(found.to_pylist(), key=lambda run: (self._places[run["file"]], run["row"]))
        self._runs = [(run["file"], run["row"]) for run in each]
        return [pickle.loads(run["answer"]) for run in each]  # noqa: S301 - our own tasks'

    def summed(self, sql: str, key_type: KeyType, most: int | None) -> list[tuple[Any, int]]:
        """See `Parted`."""
        from pyspark.sql import functions as sf

        counted = self._columns(sql).mapInArrow(_finding(sql, key_type), f"k {_SPARK_TYPES[key_type]}, n bigint")
        summed = counted.groupBy("k").agg(sf.sum("n").alias("n"))
        ordered = summed.orderBy(sf.desc("n"), sf.asc_nulls_last("k"))
        found = (ordered if most is None else ordered.limit(most)).toArrow()
        return list(zip(found.column("k").to_pylist(), found.column("n").to_pylist(), strict=True))

    def different(self, sql: str) -> int:
        """See `Parted`."""
        return int(self._columns(sql).mapInArrow(_finding(sql, "VARCHAR"), "k string").distinct().count())

    def _columns(self, sql: str, *more: Any) -> DataFrame:
        """What a query is about, and no other column: Parquet reads them one by one."""
        needed = sorted({int(i) for i in _FIELD.findall(sql)}) or [self._cheapest]
        return self._frame.select(*(self._column(i) for i in needed), *more)

    def _column(self, i: int) -> Any:
        from pyspark.sql import functions as sf

        name = self.fields[i][0].replace("`", "``")
        return sf.col(f"`{name}`").alias(f"field_{i}")

    def _order(self) -> dict[int, int]:
        """The place of each file that has rows, in the order of names, by the hash that its rows bring along."""
        from pyspark.sql import functions as sf

        path = sf.col("_metadata.file_path").alias("path")
        files = self._frame.select(path).distinct().select("path", sf.xxhash64("path").alias("file"))
        return {each["file"]: place for place, each in enumerate(sorted(files.toArrow().to_pylist(), key=_name))}

    def _json(self) -> set[str]:
        """The columns that hold JSON, as the first file and the last say: to Spark they are text."""
        jvm, settings = self._spark._jvm, self._spark._jsc.hadoopConfiguration()  # noqa: SLF001 - it has no other way there
        found = set()
        for file in {*self._files[:1], *self._files[-1:]}:
            path = jvm.org.apache.hadoop.fs.Path(jvm.java.net.URI(file))
            source = jvm.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(path, settings)
            reader = jvm.org.apache.parquet.hadoop.ParquetFileReader.open(source)
            try:
                schema = reader.getFooter().getFileMetaData().getSchema()
                types = [schema.getType(i) for i in range(schema.getFieldCount())]
                found |= {each.getName() for each in types if str(each.getLogicalTypeAnnotation()) == "JSON"}
            finally:
                reader.close()
        return found

    def _first_rows(self) -> pa.Table:
        """The first rows in the order of the files' names, from as few files as have enough."""
        import pyarrow as pa

        every = [self._column(i) for i in range(len(self.fields))]
        found = self._frame.select(*every).limit(0).toArrow()
        for path in self._files:
            if found.num_rows >= HEAD_ROWS:
                break
            file = self._spark.read.schema(self._frame.schema).parquet(path)
            more = file.select(*every).limit(HEAD_ROWS - found.num_rows).toArrow()
            found = pa.concat_tables([found, more.cast(found.schema)])
        return found


# ---- what runs in tasks: Spark sends these functions there whole, so that assay need not be installed


def _answering(sql: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The one row that a query over a task's rows gives."""
    name = ROWS

    def answer(batches: Iterable[Any]) -> Iterator[Any]:
        import duckdb
        import pyarrow as pa

        rest = iter(batches)
        first = next(rest, None)
        if first is None:
            return
        with duckdb.connect(config={"threads": 1}) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.register(name, pa.RecordBatchReader.from_batches(first.schema, chain([first], rest)))
            row = con.execute(sql).fetchone()
        yield pa.record_batch({"answer": pa.array([pickle.dumps(row)], pa.binary())})

    return answer


def _finding(sql: str, key_type: KeyType) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """All rows that a query over a task's rows finds: keys, and perhaps how many rows have each."""
    name, size, is_text = ROWS, _BATCH_ROWS, key_type == "VARCHAR"

    def find(batches: Iterable[Any]) -> Iterator[Any]:
        import duckdb
        import pyarrow as pa

        rest = iter(batches)
        first = next(rest, None)
        if first is None:
            return
        with duckdb.connect(config={"threads": 1}) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.register(name, pa.RecordBatchReader.from_batches(first.schema, chain([first], rest)))
            reader: Any = con.execute(sql).to_arrow_reader(size)
            for found in reader:
                kinds = [pa.string() if is_text else pa.int64(), pa.int64()]
                columns = [column.cast(kind) for column, kind in zip(found.columns, kinds, strict=False)]
                yield pa.RecordBatch.from_arrays(columns, names=found.schema.names)

    return find


def _answering_runs(
    sql: str, starts: dict[tuple[int, int], int]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The rows that a query gives for each run of rows that follow one another in their file."""
    name, placeholder = ROWS, START

    def answer(batches: Iterable[Any]) -> Iterator[Any]:
        import duckdb
        import numpy as np
        import pyarrow as pa

        def run(table: Any, key: tuple[int, int]) -> Any:
            with duckdb.connect(config={"threads": 1}) as con:
                con.execute("SET TimeZone = 'UTC'")
                con.register(name, table)
                rows = con.execute(sql.replace(placeholder, str(starts.get(key, 0)))).fetchall()
            fields = {"file": pa.int64(), "row": pa.int64(), "answer": pa.binary()}
            values = [[key[0]], [key[1]], [pickle.dumps(rows)]]
            return pa.record_batch(values, schema=pa.schema(fields))

        pieces: list[Any] = []
        key, after = (0, 0), None
        for batch in batches:
            if not batch.num_rows:
                continue
            files, rows = batch.column("file").to_numpy(), batch.column("row").to_numpy()
            cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(files) != 0)) + 1
            for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), batch.num_rows], strict=True):
                here = (int(files[begin]), int(rows[begin]))
                if here != after:
                    if pieces:
                        yield run(pa.Table.from_batches(pieces), key)
                    pieces, key = [], here
                pieces.append(batch.slice(begin, end - begin))
                after = (int(files[end - 1]), int(rows[end - 1]) + 1)
        if pieces:
            yield run(pa.Table.from_batches(pieces), key)

    return answer
