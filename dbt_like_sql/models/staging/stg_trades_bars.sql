/* @model
name: stg_trades_bars
description: Trades in bars of five minutes, by market and kind of contract.
owner: team:vol
grain: one row per market, kind and five minutes with a trade
key: [snapshot_ts, currency, kind]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: start of the bar}
  currency: {type: LowCardinality(String), description: the market}
  kind: {type: LowCardinality(String), description: "option, future, perpetual, …"}
  trades: {type: UInt64, description: number of trades}
  amount: {type: Float64, description: "sum of amounts; base coin for options, USD for inverse futures", between: [0, 1000000000000]}
  buy_amount: {type: Float64, description: of these bought by the taker}
  liquidations: {type: UInt64, description: trades with a liquidation on a side}
  block_trades: {type: UInt64, description: trades that were part of a block}
  mean_iv: {type: Nullable(Float64), description: "amount-weighted implied volatility of option trades, decimal"}
tests:
  - name: buys_within_all
    description: Takers never bought more than was traded.
    fails: buy_amount > amount * (1 + 1e-9)
*/
SELECT
    toStartOfFiveMinutes(t.exchange_ts) AS snapshot_ts,
    t.currency AS currency,
    t.kind AS kind,
    count() AS trades,
    sum(toFloat64(t.amount)) AS amount,
    sumIf(toFloat64(t.amount), t.direction = 'buy') AS buy_amount,
    countIf(t.liquidation != '') AS liquidations,
    countIf(t.block_trade_id != '') AS block_trades,
    if(sumIf(toFloat64(t.amount), t.iv > 0 AND t.iv < 500) > 0,
       sumIf(toFloat64(t.amount) * toFloat64(t.iv), t.iv > 0 AND t.iv < 500) / 100 / sumIf(toFloat64(t.amount), t.iv > 0 AND t.iv < 500),
       NULL) AS mean_iv
FROM (
    SELECT *
    FROM {{ source('trades') }} AS u FINAL
    WHERE u.exchange_ts >= {{ partition.start }} AND u.exchange_ts < {{ partition.end }}
    ORDER BY u.exchange_ts, u.instrument_name, u.trade_seq, u.trade_id
) AS t
GROUP BY snapshot_ts, currency, kind
