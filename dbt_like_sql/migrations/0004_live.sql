-- The live view's own tables: newest state every few seconds, short-lived; the record is the truth.

CREATE TABLE IF NOT EXISTS live_surfaces
(
    computed_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the live view computed it',
    snapshot_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest exchange timestamp in it',
    currency                LowCardinality(String),
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    forward                 Nullable(Float64) COMMENT 'USD; NULL when the expiry was refused',
    model                   LowCardinality(String) COMMENT 'svi, essvi, sabr, spline or empty',
    a                       Nullable(Float64) COMMENT 'raw SVI',
    b                       Nullable(Float64) COMMENT 'raw SVI',
    rho                     Nullable(Float64) COMMENT 'raw SVI',
    m                       Nullable(Float64) COMMENT 'raw SVI',
    sigma                   Nullable(Float64) COMMENT 'raw SVI',
    jw_v                    Nullable(Float64) COMMENT 'SVI-JW: at-the-money variance',
    jw_psi                  Nullable(Float64) COMMENT 'SVI-JW: at-the-money skew',
    jw_p                    Nullable(Float64) COMMENT 'SVI-JW: put wing slope',
    jw_c                    Nullable(Float64) COMMENT 'SVI-JW: call wing slope',
    jw_v_tilde              Nullable(Float64) COMMENT 'SVI-JW: minimum variance',
    atm_vol                 Nullable(Float64) COMMENT 'decimal, at k = 0',
    fit_source              LowCardinality(String) COMMENT 'svi, svi_prior, essvi, shifted, interpolated or none: how many quotes allowed what',
    status                  LowCardinality(String) COMMENT 'ok, repaired, thin, refused',
    reason                  String COMMENT 'why it is not ok; empty when it is',
    rmse                    Nullable(Float64) COMMENT 'of the fitted volatility against mid, decimal',
    max_error               Nullable(Float64) COMMENT 'largest distance from mid, decimal',
    in_spread_share         Nullable(Float64) COMMENT 'share of retained two-sided out-of-the-money quotes whose bid and ask contain the fit',
    retained_share          Nullable(Float64) COMMENT 'share of two-sided out-of-the-money quotes that were used',
    quotes                  UInt32 COMMENT 'two-sided out-of-the-money quotes used',
    one_sided_quotes        UInt32 COMMENT 'one-sided quotes used as bounds',
    butterfly_free          Bool COMMENT 'exact check',
    calendar_free           Bool COMMENT 'exact check against the next expiry',
    wings_free              Bool COMMENT 'wing slopes within Lees bound',
    g_minimum               Nullable(Float64) COMMENT 'smallest value of the butterfly function g(k)',
    repaired_lambda         Nullable(Float64) COMMENT 'blend towards the arbitrage-free surface: 0 none, 1 all',
    vol_error               Nullable(Float64) COMMENT 'error bar of atm_vol, decimal',
    k_minimum               Nullable(Float64) COMMENT 'smallest log-moneyness quoted',
    k_maximum               Nullable(Float64) COMMENT 'largest log-moneyness quoted',
    oldest_quote_age_seconds Nullable(Float64) COMMENT 'of the quotes used',
    completeness            Nullable(Float64) COMMENT 'share of listed options of the expiry with a fresh row',
    residual_start          Nullable(Float64) COMMENT 'residual spline: k of its first knot; NULL without residual',
    residual_step           Nullable(Float64) COMMENT 'residual spline: distance of its knots in k',
    residual                Array(Float64) COMMENT 'residual spline: coefficients of uniform cubic B-splines, added to w of the raw SVI',
    code_version            LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(computed_ts)
ORDER BY (currency, computed_ts, expiry_ts)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS live_greeks
(
    computed_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the live view computed it',
    snapshot_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest exchange timestamp in it',
    currency                LowCardinality(String),
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    instrument_name         LowCardinality(String) COMMENT 'as on the wire',
    strike                  Float64 COMMENT 'USD',
    is_call                 Bool COMMENT 'call or put',
    forward                 Nullable(Float64) COMMENT 'USD',
    vol                     Nullable(Float64) COMMENT 'decimal',
    vol_source              LowCardinality(String) COMMENT 'surface or exchange',
    price_usd               Nullable(Float64) COMMENT 'USD',
    price_coin              Nullable(Float64) COMMENT 'coin',
    delta                   Nullable(Float64) COMMENT 'forward delta, not premium-adjusted',
    gamma                   Nullable(Float64) COMMENT 'per USD squared',
    vega                    Nullable(Float64) COMMENT 'USD per 1.00 of volatility',
    theta                   Nullable(Float64) COMMENT 'USD per year',
    rho                     Nullable(Float64) COMMENT 'USD per 1.00 of rate',
    vanna                   Nullable(Float64) COMMENT 'd2V/dF dvol',
    volga                   Nullable(Float64) COMMENT 'd2V/dvol2',
    charm                   Nullable(Float64) COMMENT 'd delta / d time, per year',
    veta                    Nullable(Float64) COMMENT 'd vega / d time, per year',
    speed                   Nullable(Float64) COMMENT 'd gamma / dF',
    zomma                   Nullable(Float64) COMMENT 'd gamma / dvol',
    color                   Nullable(Float64) COMMENT 'd gamma / d time, per year',
    ultima                  Nullable(Float64) COMMENT 'd volga / dvol',
    delta_coin              Nullable(Float64) COMMENT 'premium-adjusted: delta - price_usd / forward',
    delta_sticky_moneyness  Nullable(Float64) COMMENT 'delta when the smile moves with the forward',
    mark_iv                 Nullable(Float64) COMMENT 'decimal',
    mark_price              Nullable(Float64) COMMENT 'premium currency',
    open_interest           Nullable(Float64) COMMENT 'base coin',
    code_version            LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(computed_ts)
ORDER BY (currency, computed_ts, expiry_ts, strike, is_call)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS live_metrics
(
    computed_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the live view computed it',
    snapshot_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest exchange timestamp in it',
    currency                LowCardinality(String),
    metric                  LowCardinality(String) COMMENT 'atm_vol_30d, risk_reversal_25_30d, butterfly_25_30d, lag_from_exchange_p50_seconds, …',
    value                   Nullable(Float64) COMMENT 'in the metrics unit',
    code_version            LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(computed_ts)
ORDER BY (currency, metric, computed_ts)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
