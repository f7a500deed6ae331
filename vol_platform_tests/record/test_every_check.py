"""Every check of the graph has been seen to fail on rows made wrong, and to pass on good ones."""

from __future__ import annotations

from vol_platform.record.graph import build_definitions
from vol_platform.settings import Settings
from vol_platform_tests.record.every_check import derivation_checks, model_tests

SEEN_ELSEWHERE = {
    "raw/options_quotes/fresh": "test_feed_and_alerts",
    "raw/options_quotes/rows_match_ingest": "test_feed_and_alerts",
    "raw/options_quotes/rows_match_segments": "test_feed_and_alerts",
    "archive/raw_days/archive_equals_store": "test_archive_assets",
    "archive/raw_days/old_days_are_archived": "test_archive_assets",
    "archive/backups/newest_backup_is_young": "test_backup_assets",
}


def test_every_check_passes_on_good_rows_and_fails_on_wrong_ones(database: Settings) -> None:
    seen = [*derivation_checks(), *model_tests(database)]
    for one in seen:
        assert one.good_passed, one
        assert one.good_examined > 0, one
        assert not one.spoiled_passed, one
        assert one.spoiled_failed > 0, one
        assert one.has_sample, one
    names = {f"{one.asset}/{one.check}" for one in seen}
    graph = build_definitions(Settings()).resolve_asset_graph()
    wanted = {f"{key.asset_key.to_user_string()}/{key.name}" for key in graph.asset_check_keys}
    assert wanted == names | set(SEEN_ELSEWHERE)
