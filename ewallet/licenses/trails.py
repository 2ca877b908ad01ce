"""Where objections are kept: the signed messages of each trail, in the database of a register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from ewallet.errors import Conflict, NotFound
from ewallet.licenses import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from ewallet.licenses.register import Register

_MESSAGE: Final = tables.objection_message


class Trails:
    """Trails by their case. What is kept is not believed: it is verified whenever it is read.

    Args:
        register: the register.
    """

    def __init__(self, register: Register) -> None:
        self._register = register

    def keep(self, case: bytes, tokens: Sequence[bytes]) -> None:
        """Keeps a trail; it may only be longer than what is kept, and must begin with it.

        Raises:
            Conflict: another message stands at a place, or the kept trail is longer.
            RegisterError: it cannot be written.
        """
        with self._register.writing() as connection:
            known = self._read(connection, case)
            if list(tokens[: len(known)]) != known:
                raise Conflict("another trail of this case is kept")
            rows = [
                {"case": case, "place": place, "token": token}
                for place, token in enumerate(tokens)
                if place >= len(known)
            ]
            if rows:
                connection.execute(insert(_MESSAGE), rows)

    def trail(self, case: bytes) -> tuple[bytes, ...]:
        """The messages of a case, in order.

        Raises:
            NotFound: there is none.
        """
        with self._register.reading() as connection:
            found = self._read(connection, case)
        if not found:
            raise NotFound("no such objection")
        return tuple(found)

    def cases(self) -> tuple[bytes, ...]:
        """All cases."""
        with self._register.reading() as connection:
            rows = connection.execute(select(_MESSAGE.c.case).where(_MESSAGE.c.place == 0)).scalars()
            return tuple(bytes(case) for case in rows)

    @staticmethod
    def _read(connection: Connection, case: bytes) -> list[bytes]:
        rows = connection.execute(
            select(_MESSAGE.c.token).where(_MESSAGE.c.case == case).order_by(_MESSAGE.c.place)
        ).scalars()
        return [bytes(token) for token in rows]
