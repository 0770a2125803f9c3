"""`careloop bench NAME`: the benchmarks that the figures in the README come from.

To add one: a package or module `bench/NAME`, and here an entry of `BENCHMARKS` whose `run` imports it lazily.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from careloop.cli import Command


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        summary: One line for the overview.
        configure: Adds its arguments; `--json` is there already.
        run: Measures, and returns its figures by name.
    """

    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Mapping[str, Any]]


def _configure_ingest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="a server where a database of its own may be made; else an embedded one")
    parser.add_argument("--broker-url", help="else Mosquitto, where installed, or the embedded broker, is started")
    parser.add_argument("--readings-per-message", type=int, default=60, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="ingest processes on one subscription")
    parser.add_argument("--publishers", type=int, default=2, metavar="N", help="publishing processes")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the main phase; the others take half")


def _run_ingest(options: argparse.Namespace) -> Mapping[str, Any]:
    from bench.ingest.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(
        database_url=options.database_url,
        broker_url=options.broker_url,
        readings_per_message=options.readings_per_message,
        workers=options.workers,
        publishers=options.publishers,
        seconds=options.seconds,
    )


def _configure_chaos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="200 take about eight minutes")
    parser.add_argument("--rows-per-second", type=float, default=200.0, metavar="N", help="two readings each")
    parser.add_argument("--broker", choices=["mosquitto", "embedded"], default="mosquitto")
    parser.add_argument("--seed", type=int, default=1, help="which instants and which victims")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs, buffer and ledger there")


def _run_chaos(options: argparse.Namespace) -> Mapping[str, Any]:
    from bench.chaos.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(
        kills=options.kills,
        rows_per_s=options.rows_per_second,
        broker=options.broker,
        seed=options.seed,
        keep=options.keep,
    )


def _configure_query(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="a server where a database may be made; else an embedded one is started")
    parser.add_argument("--readings", type=int, default=70_000_000, metavar="N", help="about so many, if time allows")
    parser.add_argument("--assets", type=int, default=200, metavar="N", help="each sends 8 metrics a minute")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="half of it for loading at most")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="of each query")
    parser.add_argument("--jitter-ms", type=float, default=0.0, metavar="N", help="of times; 0: whole seconds")
    parser.add_argument("--database", default="careloop_bench_query", metavar="NAME", help="of the database made")
    parser.add_argument("--keep", action="store_true", help="leave the database in place")
    parser.add_argument("--reuse", action="store_true", help="only time queries on the database left in place")


def _configure_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="a server where a database may be made; else an embedded one is started")
    parser.add_argument("--warehouses", type=int, default=200, metavar="N")
    parser.add_argument("--parts", type=int, default=30_000, metavar="N")
    parser.add_argument("--movements", type=int, default=1_000_000, metavar="N", help="of the ledger")
    parser.add_argument("--demands", type=int, default=5_000, metavar="N", help="open ones")
    parser.add_argument("--batch", type=int, default=1_000, metavar="N", help="of them planned together first")
    parser.add_argument("--limit-seconds", type=float, default=60.0, metavar="N", help="how long a plan is searched")
    parser.add_argument("--gap", type=float, default=0.005, metavar="N", help="good enough this far above the bound")
    parser.add_argument("--database", default="careloop_bench_parts", metavar="NAME", help="of the database made")
    parser.add_argument("--keep", action="store_true", help="leave the database in place")


def _run_parts(options: argparse.Namespace) -> Mapping[str, Any]:
    from bench.parts.main import run  # noqa: PLC0415 - the overview must not need the libraries
    from bench.parts.network import Size  # noqa: PLC0415 - likewise

    return run(
        size=Size(options.warehouses, options.parts, options.movements, options.demands),
        batch=options.batch,
        limit_s=options.limit_seconds,
        gap=options.gap,
        database_url=options.database_url,
        database=options.database,
        keep=options.keep,
    )


def _run_query(options: argparse.Namespace) -> Mapping[str, Any]:
    from bench.query.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(
        readings=options.readings,
        assets=options.assets,
        minutes=options.minutes,
        runs=options.runs,
        jitter_ms=options.jitter_ms,
        database_url=options.database_url,
        database=options.database,
        keep=options.keep,
        reuse=options.reuse,
    )


def _configure_edge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--readings", type=int, default=500_000, metavar="N", help="sent as fast as the agent goes")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long it is watched at 20 metrics a second")


def _run_edge(options: argparse.Namespace) -> Mapping[str, Any]:
    from bench.edge.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(readings=options.readings, seconds=options.seconds)


def _configure_api(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="a server where a database may be made; else an embedded one is started")
    parser.add_argument("--customers", type=int, default=50_000, metavar="N")
    parser.add_argument("--assets", type=int, default=300_000, metavar="N")
    parser.add_argument("--tickets", type=int, default=2_000_000, metavar="N")
    parser.add_argument("--per-second", type=float, default=50.0, metavar="N", help="requests of the mixed phase")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="length of the mixed phase")
    parser.add_argument("--database", default="careloop_bench_api", metavar="NAME", help="of the database made")
    parser.add_argument("--keep", action="store_true", help="leave the database in place")
    parser.add_argument("--reuse", action="store_true", help="only ask, on the database left in place")


def _run_api(options: argparse.Namespace) -> Mapping[str, Any]:
    from bench.api.desk import Size  # noqa: PLC0415 - the overview must not need the libraries
    from bench.api.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(
        size=Size(options.customers, options.assets, options.tickets),
        per_s=options.per_second,
        seconds=options.seconds,
        database_url=options.database_url,
        database=options.database,
        keep=options.keep,
        reuse=options.reuse,
    )


BENCHMARKS: dict[str, Benchmark] = {
    "api": Benchmark("the service desk over 300,000 machines and 2 million cases: times of answers, rates",
                     _configure_api, _run_api),
    "chaos": Benchmark("agent, broker, ingest and database killed at random instants under load: lost, doubled",
                       _configure_chaos, _run_chaos),
    "edge": Benchmark("what an agent costs its device: processor, memory, bytes on the wire and on disk",
                      _configure_edge, _run_edge),
    "ingest": Benchmark("from publish to committed rows, against a raw COPY and a bare subscriber", _configure_ingest,
                        _run_ingest),
    "parts": Benchmark("200 warehouses, 30,000 parts: where a part comes from, one at a time and all together",
                       _configure_parts, _run_parts),
    "query": Benchmark("a long record: bytes per reading, and how fast charts, latest values and features are read",
                       _configure_query, _run_query),
}  # fmt: skip


def _configure(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, benchmark in BENCHMARKS.items():
        own = names.add_parser(name, help=benchmark.summary, description=benchmark.summary)
        own.add_argument("--json", action="store_true", help="print the figures as one JSON object")
        benchmark.configure(own)


def _run(options: argparse.Namespace) -> int:
    figures = BENCHMARKS[options.name].run(options)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        width = max(map(len, figures))
        for name, value in figures.items():
            print(f"{name:<{width}}  {value}")
    return 0


COMMAND = Command(
    summary="measure it on this machine: careloop bench NAME --json",
    needs="nothing but time; servers that are not given are started, in a temporary directory",
    extra="all",
    configure=_configure,
    run=_run,
)
