-- Derived tables: written by Dagster only, a day partition at a time (staging + REPLACE PARTITION), so that
-- running an hour again changes no byte.  Which run wrote what is in derivation_runs, not in the rows.
-- Volatilities are decimals, times are years ACT/365, prices name their unit.

CREATE TABLE IF NOT EXISTS quotes_clean
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    instrument_name         LowCardinality(String) COMMENT 'as on the wire',
    strike                  Float64 COMMENT 'USD',
    is_call                 Bool COMMENT 'call or put',
    is_inverse              Bool COMMENT 'premium in coin (true) or in USD (false)',
    premium_currency        LowCardinality(String) COMMENT 'unit of the prices',
    bid_price               Nullable(Float64) COMMENT 'premium currency; NULL when absent',
    ask_price               Nullable(Float64) COMMENT 'premium currency; NULL when absent',
    mark_price              Nullable(Float64) COMMENT 'premium currency',
    mark_iv                 Nullable(Float64) COMMENT 'decimal',
    underlying_price        Nullable(Float64) COMMENT 'the exchanges forward, USD',
    index_price             Nullable(Float64) COMMENT 'USD',
    open_interest           Nullable(Float64) COMMENT 'base coin',
    tick_size               Nullable(Float64) COMMENT 'premium currency',
    age_seconds             Float64 COMMENT 'snapshot_ts - exchange_ts',
    usage                   LowCardinality(String) COMMENT 'two_sided or bound: how a fit may use it',
    source                  LowCardinality(String) COMMENT 'of the raw row',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_ts, strike, is_call)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS quotes_rejected
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               Nullable(DateTime('UTC')) COMMENT 'NULL when the instrument is unknown',
    instrument_name         LowCardinality(String) COMMENT 'as on the wire',
    reason                  LowCardinality(String) COMMENT 'crossed, wide, stale, settlement, no_quote, unknown_instrument, …',
    detail                  String COMMENT 'with the value',
    bid_price               Nullable(Float64) COMMENT 'premium currency',
    ask_price               Nullable(Float64) COMMENT 'premium currency',
    age_seconds             Nullable(Float64) COMMENT 'snapshot_ts - exchange_ts',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, instrument_name, reason)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS forward_curve
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    forward                 Nullable(Float64) COMMENT 'USD',
    forward_lower           Nullable(Float64) COMMENT 'lower end of the put-call parity interval, USD',
    forward_upper           Nullable(Float64) COMMENT 'upper end, USD',
    exchange_forward        Nullable(Float64) COMMENT 'prior: the exchanges underlying price, USD',
    forward_source          LowCardinality(String) COMMENT 'parity, future, synthetic, exchange or none',
    pairs                   UInt32 COMMENT 'put-call pairs used',
    uncertainty_basis_points Nullable(Float64) COMMENT 'half width of the interval',
    basis_annualised        Nullable(Float64) COMMENT 'ln(forward / index) / expiry_years, decimal',
    index_price             Nullable(Float64) COMMENT 'USD',
    status                  LowCardinality(String) COMMENT 'ok, alarm (prior outside the interval), none',
    reason                  String COMMENT 'why it is not ok',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_ts)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS surfaces
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
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
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_ts)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS surface_grid
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               Nullable(DateTime('UTC')) COMMENT 'NULL for a constant maturity',
    expiry_years            Float64,
    is_constant_maturity    Bool COMMENT '7, 14, 30, 60, 90, 180, 365 days',
    axis                    LowCardinality(String) COMMENT 'log_moneyness or delta (put deltas negative)',
    coordinate              Float64 COMMENT 'value on the axis',
    log_moneyness           Nullable(Float64) COMMENT 'k = ln(strike / forward)',
    strike                  Nullable(Float64) COMMENT 'USD',
    vol                     Nullable(Float64) COMMENT 'decimal',
    total_variance          Nullable(Float64) COMMENT 'w',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_years, axis, coordinate)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS options_greeks
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    instrument_name         LowCardinality(String) COMMENT 'as on the wire',
    strike                  Float64 COMMENT 'USD',
    is_call                 Bool COMMENT 'call or put',
    forward                 Nullable(Float64) COMMENT 'USD',
    vol                     Nullable(Float64) COMMENT 'decimal, of the surface',
    vol_source              LowCardinality(String) COMMENT 'surface or exchange (mark) when the expiry has no surface',
    price_usd               Nullable(Float64) COMMENT 'undiscounted, USD',
    price_coin              Nullable(Float64) COMMENT 'price_usd / forward',
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
    mark_iv                 Nullable(Float64) COMMENT 'the exchanges, decimal',
    mark_price              Nullable(Float64) COMMENT 'the exchanges, premium currency',
    open_interest           Nullable(Float64) COMMENT 'base coin',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_ts, strike, is_call)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS term_structure
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               Nullable(DateTime('UTC')) COMMENT 'NULL for a constant maturity',
    expiry_years            Float64,
    days                    Float64 COMMENT '365 x expiry_years',
    is_constant_maturity    Bool COMMENT 'interpolated to 7, 14, 30, 60, 90, 180, 365 days',
    forward                 Nullable(Float64) COMMENT 'USD',
    atm_vol                 Nullable(Float64) COMMENT 'decimal, k = 0',
    atm_total_variance      Nullable(Float64) COMMENT 'w at k = 0',
    forward_vol             Nullable(Float64) COMMENT 'between this and the expiry before, decimal',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, is_constant_maturity, expiry_years)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS skew_metrics
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               Nullable(DateTime('UTC')) COMMENT 'NULL for a constant maturity',
    expiry_years            Float64,
    days                    Float64 COMMENT '365 x expiry_years',
    is_constant_maturity    Bool COMMENT 'interpolated',
    atm_vol                 Nullable(Float64) COMMENT 'decimal, k = 0',
    risk_reversal_25        Nullable(Float64) COMMENT 'call - put, 25-delta forward, decimal',
    butterfly_25            Nullable(Float64) COMMENT '(call + put) / 2 - atm, decimal',
    risk_reversal_10        Nullable(Float64) COMMENT 'decimal',
    butterfly_10            Nullable(Float64) COMMENT 'decimal',
    risk_reversal_25_pa     Nullable(Float64) COMMENT 'premium-adjusted delta, decimal',
    butterfly_25_pa         Nullable(Float64) COMMENT 'premium-adjusted delta, decimal',
    skew_slope              Nullable(Float64) COMMENT 'dvol/dk at k = 0',
    skew_curvature          Nullable(Float64) COMMENT 'd2vol/dk2 at k = 0',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, is_constant_maturity, expiry_years)
SETTINGS non_replicated_deduplication_window = 10000;

-- Lineage: which run wrote which hour of which table, and what it wrote.
CREATE TABLE IF NOT EXISTS derivation_runs
(
    table_name              LowCardinality(String),
    hour_ts                 DateTime('UTC') COMMENT 'start of the hour',
    run_id                  String COMMENT 'Dagster run',
    code_version            LowCardinality(String),
    parameters_hash         LowCardinality(String),
    rows                    UInt64,
    content_checksum        UInt64 COMMENT 'order-independent hash of the rows of the hour',
    published_ts            DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(hour_ts)
ORDER BY (table_name, hour_ts, published_ts)
SETTINGS non_replicated_deduplication_window = 10000;
