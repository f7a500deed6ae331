-- How complete the quotes of each instrument and minute are.  The exchange sends every ticker anew at least
-- every 5.03 s, so each of the ten slots of 6 s in a minute holds an update when nothing was missed.  A bit
-- per slot is kept: the same update twice, or from two collectors, changes nothing, and what one collector
-- missed another may fill.  Bridged and imported quotes count as what they are: one update.

CREATE TABLE IF NOT EXISTS quote_slots_state
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)),
    currency                LowCardinality(String),
    instrument_name         LowCardinality(String),
    slots                   SimpleAggregateFunction(groupBitOr, UInt16) COMMENT 'bit n: an update in (T - 60 s + 6 n s, T - 54 s + 6 n s]'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, instrument_name)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS quote_slots_feed TO quote_slots_state AS
SELECT toDateTime(ceil(toUnixTimestamp64Milli(q.exchange_ts) / 60000) * 60, 'UTC') AS snapshot_ts,
       q.currency AS currency, q.instrument_name AS instrument_name,
       groupBitOr(bitShiftLeft(toUInt16(1), toUInt16(intDiv((toUnixTimestamp64Milli(q.exchange_ts) - 1) % 60000, 6000)))) AS slots
FROM options_quotes AS q
GROUP BY snapshot_ts, currency, instrument_name;

-- Share of the minute before snapshot T that the updates of an instrument vouch for; an instrument without any
-- has no row here.
CREATE VIEW IF NOT EXISTS quote_completeness AS
SELECT s.snapshot_ts AS snapshot_ts, s.currency AS currency, s.instrument_name AS instrument_name,
       bitCount(groupBitOr(s.slots)) / 10 AS completeness
FROM quote_slots_state AS s
GROUP BY snapshot_ts, currency, instrument_name;

-- The same by expiry, for surfaces to carry: of every option that was listed, silent ones count 0.  Minutes in
-- which a market had no quote at all have no row.
CREATE VIEW IF NOT EXISTS expiry_completeness AS
SELECT m.snapshot_ts AS snapshot_ts, m.currency AS currency, i.expiry_ts AS expiry_ts,
       count() AS listed, countIf(q.completeness > 0) AS seen, sum(q.completeness) / count() AS completeness
FROM (SELECT DISTINCT s.snapshot_ts AS snapshot_ts, s.currency AS currency FROM quote_slots_state AS s) AS m
INNER JOIN (
    SELECT n.currency AS currency, n.instrument_name AS instrument_name, assumeNotNull(n.expiry_ts) AS expiry_ts,
           coalesce(n.creation_ts, toDateTime64(0, 3, 'UTC')) AS creation_ts
    FROM instruments AS n WHERE n.kind = 'option' AND isNotNull(n.expiry_ts)
) AS i ON i.currency = m.currency
LEFT JOIN quote_completeness AS q
    ON q.snapshot_ts = m.snapshot_ts AND q.currency = m.currency AND q.instrument_name = i.instrument_name
WHERE i.creation_ts < m.snapshot_ts - INTERVAL 1 MINUTE AND i.expiry_ts >= m.snapshot_ts
GROUP BY snapshot_ts, currency, expiry_ts;
