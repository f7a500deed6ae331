-- When each version of a specification was first seen.  options_metadata keeps the last time it was seen, which
-- moves on; what an hour of the past looked like must not move with it.

CREATE TABLE IF NOT EXISTS instrument_versions
(
    currency                LowCardinality(String),
    instrument_name         LowCardinality(String) COMMENT 'as on the wire',
    content_checksum        UInt32 COMMENT 'of the specification, as in options_metadata',
    first_seen_ts           SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when this version was first seen'
)
ENGINE = AggregatingMergeTree
ORDER BY (currency, instrument_name, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS instrument_versions_feed TO instrument_versions AS
SELECT m.currency AS currency, m.instrument_name AS instrument_name, m.content_checksum AS content_checksum,
       min(m.seen_ts) AS first_seen_ts
FROM options_metadata AS m
GROUP BY currency, instrument_name, content_checksum;
