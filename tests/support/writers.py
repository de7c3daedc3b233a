"""Writers that do in a transaction whatever writers do: savepoints, rollbacks, UPDATEs, COPY, taking their time."""

import random
import threading
import time
from dataclasses import dataclass, field

import psycopg
from psycopg import IsolationLevel

from tests.support.shop import Connection, insert_order


@dataclass
class Writer:
    """One writer with a connection, a seed and a list of what it has committed: number → time after COMMIT."""

    name: str
    url: str
    random: random.Random
    committed: dict[str, float] = field(default_factory=dict)
    _count: int = 0

    def run(self, transactions: int) -> None:
        """Write some transactions on a connection of its own."""
        with psycopg.connect(self.url) as connection:
            for _ in range(transactions):
                self._one_transaction(connection)

    def _one_transaction(self, connection: Connection) -> None:
        repeatable = self.random.random() < 0.25
        connection.isolation_level = IsolationLevel.REPEATABLE_READ if repeatable else IsolationLevel.READ_COMMITTED
        numbers, undone = [], self.random.random() < 0.2
        with connection.transaction(force_rollback=undone):
            for _ in range(self.random.randint(1, 3)):
                way = self.random.choice([self._insert, self._update, self._copy, self._savepoint])
                numbers += way(connection)
                self._linger()
        if not undone:
            self.committed |= dict.fromkeys(numbers, time.time())

    def _linger(self) -> None:
        """Stay open for a while, as a writer does that has more to do: this is the load, not a wait for anything."""
        threading.Event().wait(self.random.choice([0, 0, 0.001, 0.005, 0.03]))

    def _number(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def _insert(self, connection: Connection) -> list[str]:
        number = self._number()
        insert_order(connection, number)
        return [number]

    def _update(self, connection: Connection) -> list[str]:
        """An order that becomes pending later."""
        number = self._number()
        insert_order(connection, number, status="awaiting_payment")
        self._linger()
        connection.execute("update orders_inbox set status = 'awaiting_shipment' where order_number = %s", [number])
        return [number]

    def _savepoint(self, connection: Connection) -> list[str]:
        """Two savepoints, of which one is undone: its bell is undone with it."""
        kept, undone = self._number(), self._number()
        for number in self.random.sample([kept, undone], 2):
            connection.execute("savepoint here")
            insert_order(connection, number)
            connection.execute("rollback to savepoint here" if number == undone else "release savepoint here")
        return [kept]

    def _copy(self, connection: Connection) -> list[str]:
        numbers = [self._number() for _ in range(3)]
        columns = "order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country"
        with (
            connection.cursor() as cursor,
            cursor.copy(f"copy orders_inbox ({columns}) from stdin".encode()) as copy,
        ):
            for number in numbers:
                copy.write_row([number, "today", "awaiting_shipment", "Ada Example", "1 Way", "Town", "CA"])
        connection.execute(
            "insert into order_items_inbox (order_inbox_id, sku, quantity) "
            "select id, '17001', 1 from orders_inbox where order_number = any (%s)",
            [numbers],
        )
        return numbers
