"""A rebuild gives the same rows, while everything goes on, and whoever dies in between."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from redis import Redis
from sqlalchemy import Connection, MetaData, func, inspect, select, text

import workers.jobs
from application import jobs
from application.composition import Turnstile
from application.jobs import DONE, RUNNING
from application.jobs import jobs as jobs_table
from application.store import log
from application.store import tables as log_tables
from application.store.database import writing
from application.store.group_commit import StoreUnavailable
from projections import catalogue, event_summaries, orders, tickets
from projections.catalogue import CATALOGUE
from projections.customers import CUSTOMERS
from projections.engine import leases
from projections.engine import rebuild as engine
from projections.engine import tables as engine_tables
from projections.engine.comparing import EQUAL, TableComparison, compare_table
from projections.engine.positions import positions
from projections.engine.projector import Projector
from projections.engine.read_model import ReadModel
from projections.engine.reading import Reading
from projections.engine.rebuild import (
    Progress,
    Rebuilt,
    compare,
    rebuild,
    rebuild_together,
)
from projections.engine.shadow import SUFFIX, RebuildRuns, Shadow
from projections.engine.status import status
from projections.event_summaries import EVENT_SUMMARIES
from projections.gate_lists import GATE_LISTS
from projections.orders import ORDERS
from projections.registry import READ_MODELS
from projections.sales_by_day import SALES_BY_DAY
from projections.tickets import TICKETS
from tests.services import flush_redis
from tests.workers.festival import (
    box_office,
    let_leases_run_out,
    reached,
    rows_of,
    shape_of,
)
from tests.workers.processes import PATIENCE, Running, eventually
from tests.workers.processes import turnstile as process
from tests.workers.projecting import Killed, projecting
from tests.workers.selling import Sale
from tests.workers.tallies import Slowly, Tally, change, register
from tests.workers.threads import in_threads
from workers.jobs import REBUILD, jobs_of, request_for, request_import, request_rebuilds
from workers.tidying import tidy

WATCHED = (EVENT_SUMMARIES, CATALOGUE, ORDERS, TICKETS)
AGAIN = (ORDERS, GATE_LISTS)  # whose tables and indexes have new names from the time before


def head(turnstile: Turnstile) -> int:
    with turnstile.engine.connect() as connection:
        return log.read_head(connection)


def progress_of(turnstile: Turnstile, name: str = ORDERS.name) -> int | None:
    """How far the rebuild is; None while there is none."""
    with turnstile.engine.connect() as connection:
        by_name = {model["name"]: model for model in status(connection)}
    position: int | None = by_name[name]["rebuild_position"]
    return position


def job(turnstile: Turnstile, job_id: UUID) -> dict[str, Any]:
    with turnstile.engine.connect() as connection:
        return jobs.job(connection, job_id) or {}


def let_time_pass(turnstile: Turnstile) -> None:
    with writing(turnstile.engine) as connection:
        let_leases_run_out(connection)


# The same rows


def test_a_rebuild_of_everything_changes_neither_rows_nor_tables(festival: Turnstile) -> None:
    rows, shape, end = rows_of(festival), shape_of(festival), head(festival)
    for models in (READ_MODELS, AGAIN):
        for model in models:
            rebuild(festival, model)
        assert rows_of(festival) == rows
        assert shape_of(festival) == shape
        assert reached(festival) == end
    assert differences_from_metadata(festival) == []


@pytest.mark.xdist_group("postgres_festival")
def test_rebuilt_tables_are_swapped_in_vacuumed_and_analyzed(postgres_festival: str) -> None:
    known = text(
        "SELECT reltuples, pg_stat_get_last_vacuum_time(oid) > :began FROM pg_class"
        " WHERE oid = CAST(:table AS regclass)"
    )
    began = datetime.now(UTC)
    with box_office(postgres_festival) as festival:
        rebuild(festival, ORDERS)
        with festival.engine.connect() as connection:
            for table in ORDERS.tables:
                rows = connection.scalar(select(func.count()).select_from(table))
                found = connection.execute(known, {"table": table.name, "began": began}).one()
                assert rows
                assert found == (rows, True)


# Together


def unseen(done: int, total: int) -> None:
    pass


RIGHTS = ("SELECT", "UPDATE")


def test_who_could_read_the_live_tables_can_read_the_rebuilt_ones(postgres_festival: str) -> None:
    reader = "pg_read_all_stats"  # which every server has
    asked = f"SELECT has_table_privilege('{reader}', 'catalogue', :what)"
    with box_office(postgres_festival) as turnstile:
        with turnstile.engine.begin() as connection:
            connection.execute(text(f"GRANT SELECT ON catalogue TO {reader}"))
        rebuild(turnstile, CATALOGUE)
        with turnstile.engine.connect() as connection:
            may = [connection.execute(text(asked), {"what": it}).scalar() for it in RIGHTS]
    assert dict(zip(RIGHTS, may, strict=True)) == {"SELECT": True, "UPDATE": False}


def test_read_models_built_together_read_each_batch_once(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, batches = rows_of(festival), []
    new_batch = Reading._new_batch

    def counted(reading: Any, connection: Connection, wanted: Any) -> Any:
        batches.append(wanted[1:])
        return new_batch(reading, connection, wanted)

    monkeypatch.setattr(engine, "BATCH", 100)
    monkeypatch.setattr(Reading, "_new_batch", counted)
    outcomes = dict(rebuild_together(festival, dict.fromkeys((ORDERS, SALES_BY_DAY), unseen)))
    ways = [batch for batch in batches if batch[0] < batch[1]]
    assert len(ways) > 2
    assert len(set(ways)) == len(ways)
    assert [type(outcome) for outcome in outcomes.values()] == [Rebuilt, Rebuilt]
    assert rows_of(festival) == rows


def test_of_read_models_built_together_one_fails_alone(festival: Turnstile) -> None:
    rows = rows_of(festival)

    def fail(done: int, total: int) -> None:
        raise ValueError("no more of this")

    progress: dict[ReadModel, Progress] = {ORDERS: fail, SALES_BY_DAY: unseen}
    outcomes = dict(rebuild_together(festival, progress))
    assert str(outcomes[ORDERS]) == "no more of this"
    assert isinstance(outcomes[SALES_BY_DAY], Rebuilt)
    assert rows_of(festival) == rows
    rebuild(festival, ORDERS)  # its lease was given back


def test_while_one_read_model_has_its_turn_the_leases_of_the_others_run_on(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[set[str]] = []

    def take_long(done: int, total: int) -> None:
        let_time_pass(festival)

    def look(done: int, total: int) -> None:
        with festival.engine.connect() as connection:
            held.append({name for name in leases.holders(connection) if "rebuild:" in name})

    monkeypatch.setattr(engine, "BATCH", 100)
    for _ in rebuild_together(festival, {ORDERS: look, GATE_LISTS: take_long}):
        break
    assert len(held) > 2
    assert all(names == {"rebuild:orders", "rebuild:gate_lists"} for names in held)


def differences_from_metadata(turnstile: Turnstile) -> list[Any]:
    """What Alembic would change, were it asked; names of indexes aside."""
    with turnstile.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        everything = [log_tables.metadata, engine_tables.metadata]
        assert jobs_table.metadata in everything
        found = compare_metadata(context, _together(everything))
    changes = [change if isinstance(change, tuple) else change[0] for change in found]
    return [change for change in changes if not change[0].endswith("_index")]


def _together(metadata: list[MetaData]) -> MetaData:
    together = MetaData()
    for tables in metadata:
        for table in tables.tables.values():
            table.to_metadata(together)
    return together


def test_a_rebuild_heals_rows_that_went_wrong(festival: Turnstile) -> None:
    rows = rows_of(festival)
    with writing(festival.engine) as connection:
        connection.execute(orders.orders.update().values(total=1))
        connection.execute(orders.order_refunds.delete())
    assert rows_of(festival) != rows
    found = rebuild(festival, ORDERS).comparison
    assert rows_of(festival) == rows
    by_table = {table.table: table for table in found.tables}
    assert by_table["orders"].different == len(rows["orders"])
    assert by_table["order_refunds"].missing == len(rows["order_refunds"]) > 0
    assert by_table["order_tickets"].equal == len(rows["order_tickets"])
    (example, *_) = by_table["orders"].examples
    assert example.columns["total"][0] == "1"


def test_a_row_that_is_gone_from_any_table_is_missed(festival: Turnstile) -> None:
    tables = [table for model in AGAIN for table in model.tables]
    rows = rows_of(festival, AGAIN)
    with writing(festival.engine) as connection:
        for table in tables:
            key = next(iter(table.primary_key))
            first = select(key).order_by(key).limit(1).scalar_subquery()
            connection.execute(table.delete().where(key == first))
    missed = {
        table.table: (table.missing > 0, table.extra, table.different)
        for model in AGAIN
        for table in compare(festival, model).tables
    }
    assert missed == {table.name: (bool(rows[table.name]), 0, 0) for table in tables}


# While everything goes on


def test_a_rebuild_disturbs_neither_buyers_nor_readers(festival_url: str) -> None:
    with ExitStack() as opened:
        festival, projector, shop, other_shop, dashboard = [
            opened.enter_context(box_office(festival_url)) for _ in range(5)
        ]
        sale, other_sale = Sale(shop), Sale(other_shop)
        opened.enter_context(projecting(projector))
        sold = [sale.sell()]
        eventually(lambda: reached(festival) == head(festival))
        outcomes = set()

        watch = Watch(sale)
        with (
            repeating(lambda: sold.append(sale.sell())),
            repeating(lambda: sold.append(sale.sell())),
            repeating(other_sale.sell),
            repeating(lambda: watch.look(dashboard)),
            repeating(lambda: watch.look_at_lists(dashboard)),
        ):
            before = head(festival)
            for round_ in range(10):
                for model in WATCHED:
                    outcomes.add(rebuild(festival, model).comparison.outcome)
                if round_ and head(festival) > before:
                    break
            outcomes.add(compare(festival, ORDERS).outcome)
            assert head(festival) > before
        eventually(lambda: reached(festival) == head(festival))
        with dashboard.engine.connect() as connection:
            assert watch.sold(connection) == 2 * len(sold)
        assert watch.looks > 0
        assert outcomes == {EQUAL}

        live = rows_of(festival, WATCHED)
        for model in WATCHED:
            rebuild(festival, model)
        assert rows_of(festival, WATCHED) == live


class Watch:
    """Asks for figures that only ever grow, and for lists that are never empty."""

    def __init__(self, sale: Sale) -> None:
        self._sale = sale
        self._most_sold = 0
        self.looks = 0

    def look(self, dashboard: Turnstile) -> None:
        with dashboard.engine.connect() as connection:
            sold = self.sold(connection)
        assert sold >= self._most_sold
        self._most_sold = sold
        self.looks += 1

    def look_at_lists(self, dashboard: Turnstile) -> None:
        event_id = self._sale.event_id
        with dashboard.engine.connect() as connection:
            newest = orders.list_orders(connection, event_id=event_id, limit=1)["items"][0]
            one = orders.order(connection, newest["id"])
            assert one is not None
            assert len(one["ticket_ids"]) == 2
            assert tickets.attendees(connection, event_id)["items"]
            found = catalogue.event(connection, event_id)
            assert found is not None
            assert len(found["ticket_types"]) == 1

    def sold(self, connection: Connection) -> int:
        items = event_summaries.upcoming(connection, datetime.now(UTC))["items"]
        (ours,) = [item for item in items if item["event_id"] == self._sale.event_id]
        return int(ours["total_tickets_sold"])


def test_between_steps_of_a_rebuild_others_may_write(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one write lock, and no queue for it: whoever waits looks now and then."""
    monkeypatch.setattr(engine, "BATCH", 1)
    slowly = Slowly()
    with box_office(migrated_sqlite_url) as turnstile:
        tally = Tally(turnstile, "tally", slowly)
        (customer,) = register(turnstile, changes=20)
        with in_threads(lambda _: rebuild(turnstile, tally.model)):
            assert slowly.begun.wait(PATIENCE)
            change(turnstile, customer)
            with turnstile.engine.connect() as connection:
                (reached_so_far,) = positions(connection, ["tally" + SUFFIX]).values()
            assert reached_so_far < head(turnstile) - 1
            slowly.hurry()


def test_the_swap_takes_what_the_live_rows_have_taken_meanwhile(festival: Turnstile) -> None:
    sale = Sale(festival)
    sold = []

    def sell_more(done: int, total: int) -> None:
        if done == total:
            sold.append(sale.sell())
            Projector(festival).catch_up()

    rebuilt = rebuild(festival, ORDERS, sell_more)
    assert rebuilt.position == reached(festival) == head(festival)
    with festival.engine.connect() as connection:
        ours = orders.list_orders(connection, event_id=sale.event_id)["items"]
    assert [order["status"] for order in ours] == ["paid"] * len(sold)
    assert sold


def test_rows_that_lag_jump_ahead_with_the_swap(festival: Turnstile) -> None:
    sale = Sale(festival)
    sale.sell()
    assert rebuild(festival, ORDERS).position == head(festival)
    assert reached(festival, [ORDERS.name]) == head(festival)
    jumped = rows_of(festival, [ORDERS])
    Projector(festival).catch_up()
    assert rows_of(festival, [ORDERS]) == jumped
    assert reached(festival) == head(festival)


def repeating(act: Callable[[], object]) -> AbstractContextManager[None]:
    """Another thread does it again and again."""

    def run(stop: threading.Event) -> None:
        while not stop.wait(0.005):
            act()

    return in_threads(run)


@pytest.mark.xdist_group("postgres_festival")
def test_a_swap_waits_for_a_long_query_without_standing_in_anybodys_way(
    postgres_festival: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SWAP_PAUSE", 0.01)
    with box_office(postgres_festival) as festival, box_office(postgres_festival) as dashboard:
        rows = rows_of(festival)
        with dashboard.engine.connect() as report:
            report.execute(orders.order_tickets.select().limit(1))
            with rebuilding_in_a_thread(festival) as thread:
                eventually(lambda: (progress_of(festival) or 0) == head(festival))
                for _ in range(20):
                    report.execute(orders.orders.select().limit(1))
                    time.sleep(0.02)
                assert thread.is_alive()
                report.rollback()
                thread.join(PATIENCE)
        assert progress_of(festival) is None
        assert rows_of(festival) == rows


@contextmanager
def rebuilding_in_a_thread(turnstile: Turnstile) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=rebuild, args=(turnstile, ORDERS))
    thread.start()
    try:
        yield thread
    finally:
        thread.join(PATIENCE)


# Interrupted, and two at once


def test_a_killed_rebuild_leaves_the_live_rows_and_runs_again(festival: Turnstile) -> None:
    url = festival.settings.database_url
    rows, shape = rows_of(festival), shape_of(festival)
    with process("rebuild", ORDERS.name, url=url) as running:
        kill_in_the_middle(festival, running)
    assert rows_of(festival) == rows

    with process("rebuild", ORDERS.name, url=url) as running:
        assert running.wait() == 1
        assert "is being rebuilt by another process" in running.said
    let_time_pass(festival)
    with process("rebuild", ORDERS.name, url=url) as running:
        assert running.wait() == 0
    assert rows_of(festival) == rows
    assert shape_of(festival) == shape
    assert progress_of(festival) is None


def kill_in_the_middle(turnstile: Turnstile, running: Running) -> None:
    eventually(lambda: progress_of(turnstile), pause=0.002)
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    assert (progress_of(turnstile) or 0) < head(turnstile)


def test_of_two_rebuilds_at_once_the_second_is_told(festival: Turnstile) -> None:
    rows = rows_of(festival)
    told = []

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(RebuildRuns) as refusal:
            rebuild(festival, ORDERS)
        told.append(str(refusal.value))

    rebuild(festival, ORDERS, meanwhile)
    assert told
    assert rows_of(festival) == rows
    rebuild(festival, ORDERS)


def test_a_rebuild_that_slept_does_not_meddle_with_the_one_that_took_over(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables have the same names, but hold what the other has put into them so far."""
    rows = rows_of(festival)

    def take_over(done: int, total: int) -> None:
        let_time_pass(festival)

        def die(done: int, total: int) -> None:
            let_time_pass(festival)
            raise Killed

        monkeypatch.setattr(engine, "BATCH", 100)
        with pytest.raises(Killed):
            rebuild(festival, ORDERS, die)

    with pytest.raises(RebuildRuns):
        rebuild(festival, ORDERS, take_over)
    monkeypatch.undo()
    assert rows_of(festival) == rows
    rebuild(festival, ORDERS)
    assert rows_of(festival) == rows


def test_what_an_interrupted_rebuild_had_built_is_gone(festival: Turnstile) -> None:
    """No erasure would reach the names in there."""

    def fail(done: int, total: int) -> None:
        assert left_behind(festival)
        raise KeyboardInterrupt

    for begin in (rebuild, compare):
        with pytest.raises(KeyboardInterrupt):
            begin(festival, CUSTOMERS, fail)
        assert left_behind(festival) == []
    assert progress_of(festival, CUSTOMERS.name) is None


def test_what_a_killed_rebuild_left_is_tidied_up_once_it_is_known_to_be_dead(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(festival)
    monkeypatch.setattr(Shadow, "leased", nullcontext)  # nobody tidies up behind a kill -9

    def die(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(festival, CUSTOMERS, die)
    tidy(festival)
    assert left_behind(festival), "its lease runs"
    assert progress_of(festival, CUSTOMERS.name) is not None
    let_time_pass(festival)
    assert progress_of(festival, CUSTOMERS.name) is None
    tidy(festival)
    assert left_behind(festival) == []
    assert rows_of(festival) == rows


def left_behind(turnstile: Turnstile) -> list[str]:
    """Tables of rebuilds that are there."""
    return [name for name in inspect(turnstile.engine).get_table_names() if SUFFIX in name]


def test_nobody_takes_over_from_a_rebuild_whose_step_takes_long(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SECONDS", 1)
    refused: list[bool] = []

    def compare_slowly(*tables: Any) -> TableComparison:
        while len(refused) < 25:  # until long after a lease has run out
            with pytest.raises(RebuildRuns):
                rebuild(festival, SALES_BY_DAY)
            refused.append(True)
            time.sleep(0.1)
        return compare_table(*tables)

    monkeypatch.setattr(engine, "compare_table", compare_slowly)
    assert rebuild(festival, SALES_BY_DAY).comparison.outcome == EQUAL


def test_what_came_while_tables_were_vacuumed_is_taken_in_batches(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, the projector would wait for it: comparing begins by locking its position."""
    sale, taken = Sale(festival), []
    take = Shadow.take

    def sell(self: Shadow) -> Iterator[None]:
        for _ in range(20):
            sale.sell()
        Projector(festival).catch_up()
        yield

    def count(self: Shadow, connection: Connection, end: int, *, then_to: int = 0) -> Any:
        taken.append(end - self.position)
        return take(self, connection, end, then_to=then_to)

    monkeypatch.setattr(engine, "BATCH", 50)
    monkeypatch.setattr(Shadow, "vacuum", sell)
    monkeypatch.setattr(Shadow, "take", count)
    rebuild(festival, GATE_LISTS)
    assert max(taken) == 50


# As a job


@pytest.mark.xdist_group("postgres_festival")
def test_a_job_whose_worker_ends_or_dies_is_finished_by_another(
    postgres_festival: str, redis_url: str
) -> None:
    with box_office(postgres_festival, redis_url) as turnstile:
        rows = rows_of(turnstile)
        job_id = request_for(turnstile, REBUILD, ORDERS.name)["id"]
        for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
            with process("work", url=postgres_festival, REDIS_URL=redis_url) as running:
                eventually(lambda: progress_of(turnstile), pause=0.002)
                eventually(lambda: job(turnstile, job_id)["state"] == RUNNING, pause=0.002)
                assert running.end(number) == code
            assert job(turnstile, job_id)["finished_at"] is None
            let_time_pass(turnstile)
            forget_progress(turnstile)
        assert rows_of(turnstile) == rows
        with process("work", url=postgres_festival, REDIS_URL=redis_url):
            eventually(lambda: job(turnstile, job_id)["finished_at"])
        finished = job(turnstile, job_id)
        assert finished["state"] == DONE
        assert finished["done"] == finished["total"] == head(turnstile)
        assert rows_of(turnstile) == rows


def test_a_job_that_redis_forgot_is_sent_again_and_done(postgres_url: str, redis_url: str) -> None:
    with box_office(postgres_url, redis_url) as turnstile:
        job_id = request_for(turnstile, REBUILD, ORDERS.name)["id"]
        flush_redis(redis_url)
        with process("work", url=postgres_url, REDIS_URL=redis_url) as running:
            eventually(lambda: job(turnstile, job_id)["state"] == DONE)
            assert running.end() == 0
            assert running.said.count("job.sent_again") == 1


def test_a_job_that_redis_still_has_is_not_sent_again(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.jobs, "LOOK_AFTER_SECONDS", 0.02)
    with box_office(postgres_url, redis_url) as turnstile, Redis.from_url(redis_url) as queues:
        request_for(turnstile, REBUILD, ORDERS.name)
        with in_threads(jobs_of(turnstile).look_after):
            time.sleep(0.2)
            assert queues.hlen("dramatiq:turnstile.msgs") == 1
            queues.flushdb()
            eventually(lambda: queues.hlen("dramatiq:turnstile.msgs"))
            time.sleep(0.2)
            assert queues.hlen("dramatiq:turnstile.msgs") == 1


def forget_progress(turnstile: Turnstile) -> None:
    """So that the next worker's is not taken for the one before's."""
    with writing(turnstile.engine) as connection:
        tracking = log_tables.tracking
        connection.execute(tracking.delete().where(tracking.c.name == ORDERS.name + SUFFIX))


def test_a_job_runs_in_the_process_where_there_is_no_redis(festival: Turnstile) -> None:
    rows = rows_of(festival)
    worker = jobs_of(festival).start_worker(1)
    try:
        job_id = request_for(festival, REBUILD, ORDERS.name)["id"]
        eventually(lambda: job(festival, job_id)["finished_at"])
    finally:
        worker.stop()
    finished = job(festival, job_id)
    assert finished["state"] == DONE
    assert f"rows at position {head(festival)}; compared at position" in finished["outcome"]
    with festival.engine.connect() as connection:
        latest = jobs.latest(connection, REBUILD, ORDERS.name)
    assert latest is not None
    assert latest["id"] == job_id
    assert rows_of(festival) == rows


def test_an_import_that_finds_no_database_is_done_again(
    turnstile: Turnstile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [StoreUnavailable("The database is away.")]
    execute_all = turnstile.executor.execute_all

    def away_at_first(commands: Any) -> Any:
        return [failing.pop() for _ in commands] if failing else execute_all(commands)

    monkeypatch.setattr(turnstile.executor, "execute_all", away_at_first)
    (tmp_path / "one.jsonl").write_text(
        '{"command": "register_customer", "at": "2026-01-01T00:00:00Z", "customer": "ada",'
        ' "name": "Ada", "email": "ada@example.org"}\n'
    )
    worker = jobs_of(turnstile).start_worker(1)
    try:
        job_id = request_import(turnstile, "shop", tmp_path / "one.jsonl")
        eventually(lambda: job(turnstile, job_id)["finished_at"])
    finally:
        worker.stop()
    assert not failing
    assert job(turnstile, job_id)["outcome"] == "1 applied, 0 already, 0 refused"


def test_jobs_that_wait_for_the_same_events_are_done_together(
    festival: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[list[str]] = []

    def spied(turnstile: Turnstile, progress: dict[ReadModel, Progress]) -> Any:
        together.append([model.name for model in progress])
        return rebuild_together(turnstile, progress)

    monkeypatch.setattr(workers.jobs, "rebuild_together", spied)
    ids = request_rebuilds(festival, (ORDERS, GATE_LISTS, SALES_BY_DAY)).values()
    worker = jobs_of(festival).start_worker(1)
    try:
        eventually(lambda: all(job(festival, job_id)["finished_at"] for job_id in ids))
    finally:
        worker.stop()
    assert {job(festival, job_id)["state"] for job_id in ids} == {DONE}
    assert sorted(map(sorted, together)) == [["gate_lists"], ["orders", "sales_by_day"]]


def test_a_job_that_a_killed_process_left_is_done_by_the_next(turnstile: Turnstile) -> None:
    with box_office(turnstile.settings.database_url) as killed:
        job_id = request_for(killed, REBUILD, ORDERS.name)["id"]
    worker = jobs_of(turnstile).start_worker(1)
    try:
        eventually(lambda: job(turnstile, job_id)["state"] == DONE)
    finally:
        worker.stop()
