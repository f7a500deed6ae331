"""The databases of the fault tests: the room of the streamer has the same, emptied before each."""

from __future__ import annotations

from vol_platform_tests.streamer.conftest import database, room_database

__all__ = ["database", "room_database"]
