-- Inputs that people load from files, and the derived tables that came after the first eight.
-- Derived ones are written by Dagster only, as in 0003.

-- Quoted interest rates, loaded by `vol rates`; a curve is known from the day after its date.
CREATE TABLE IF NOT EXISTS rate_quotes
(
    curve_date              Date COMMENT 'day of the quotes, in the place where they are published',
    maturity_years          Float64 COMMENT 'years',
    quote                   Float64 COMMENT 'decimal, as the kind says',
    kind                    LowCardinality(String) COMMENT 'treasury (par yield), sofr (swap rate) or zero (continuous zero rate)',
    source                  LowCardinality(String) COMMENT 'name of the file',
    loaded_ts               DateTime64(6, 'UTC') COMMENT 'newest wins'
)
ENGINE = ReplacingMergeTree(loaded_ts)
ORDER BY (curve_date, kind, maturity_years)
SETTINGS non_replicated_deduplication_window = 10000;

-- Positions of portfolios, loaded by `vol positions`; a file replaces the whole portfolio from its instant on.
CREATE TABLE IF NOT EXISTS positions
(
    portfolio               LowCardinality(String) COMMENT 'name',
    from_ts                 DateTime('UTC') COMMENT 'the portfolio holds exactly the rows of this instant until the next one',
    instrument_name         LowCardinality(String) COMMENT 'as on the wire',
    quantity                Float64 COMMENT 'base coin, negative when short; a row with an empty name says that nothing is held',
    loaded_ts               DateTime64(6, 'UTC') COMMENT 'newest wins'
)
ENGINE = ReplacingMergeTree(loaded_ts)
ORDER BY (portfolio, from_ts, instrument_name)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS interest_rates
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    zero_rate               Float64 COMMENT 'continuously compounded USD rate to the expiry, decimal; 0 without a curve',
    discount_factor         Float64 COMMENT 'exp(-zero_rate x expiry_years)',
    rate_source             LowCardinality(String) COMMENT 'treasury, sofr, zero or default (0 per cent)',
    curve_date              Nullable(Date) COMMENT 'day of the curve; NULL for the default',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_ts)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS greeks_grid
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_years            Float64 COMMENT 'constant maturity',
    days                    Float64 COMMENT '7, 14, 30, 60, 90, 180, 365',
    axis                    LowCardinality(String) COMMENT 'log_moneyness or delta (put deltas negative)',
    coordinate              Float64 COMMENT 'value on the axis',
    is_call                 Bool COMMENT 'the out-of-the-money side',
    forward                 Float64 COMMENT 'USD',
    strike                  Float64 COMMENT 'USD',
    vol                     Nullable(Float64) COMMENT 'decimal',
    price_usd               Nullable(Float64) COMMENT 'undiscounted, USD',
    delta                   Nullable(Float64) COMMENT 'forward delta, not premium-adjusted',
    gamma                   Nullable(Float64) COMMENT 'per USD squared',
    vega                    Nullable(Float64) COMMENT 'USD per 1.00 of volatility',
    theta                   Nullable(Float64) COMMENT 'USD per year',
    rho                     Nullable(Float64) COMMENT 'USD per 1.00 of rate',
    vanna                   Nullable(Float64) COMMENT 'd2V/dF dvol',
    volga                   Nullable(Float64) COMMENT 'd2V/dvol2',
    charm                   Nullable(Float64) COMMENT 'd delta / d time, per year',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_years, axis, coordinate)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS greeks_by_expiry
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    expiry_years            Float64 COMMENT 'ACT/365 from snapshot_ts to expiry_ts',
    forward                 Nullable(Float64) COMMENT 'USD',
    options                 UInt32 COMMENT 'listed options',
    call_open_interest      Float64 COMMENT 'base coin',
    put_open_interest       Float64 COMMENT 'base coin',
    unpriced_open_interest  Float64 COMMENT 'base coin of options without greeks; not in the sums',
    delta                   Float64 COMMENT 'sum of open interest x delta, base coin',
    gamma                   Float64 COMMENT 'sum of open interest x gamma, base coin per USD',
    gamma_usd_per_percent   Nullable(Float64) COMMENT 'USD of delta for 1 per cent of the forward: gamma x forward^2 / 100',
    vega                    Float64 COMMENT 'sum of open interest x vega, USD per 1.00 of volatility',
    theta                   Float64 COMMENT 'sum of open interest x theta, USD per year',
    vanna                   Float64 COMMENT 'sum of open interest x vanna',
    volga                   Float64 COMMENT 'sum of open interest x volga',
    charm                   Float64 COMMENT 'sum of open interest x charm',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, expiry_ts)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS portfolio_greeks
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    portfolio               LowCardinality(String) COMMENT 'name',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    expiry_ts               DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'delivery, 08:00 UTC',
    held                    UInt32 COMMENT 'options held',
    unpriced                UInt32 COMMENT 'of these, options without greeks; not in the sums',
    quantity                Float64 COMMENT 'sum of positions, base coin',
    value_usd               Float64 COMMENT 'undiscounted, USD',
    delta                   Float64 COMMENT 'base coin',
    gamma                   Float64 COMMENT 'base coin per USD',
    vega                    Float64 COMMENT 'USD per 1.00 of volatility',
    theta                   Float64 COMMENT 'USD per year',
    rho                     Float64 COMMENT 'USD per 1.00 of rate',
    vanna                   Float64 COMMENT 'sum of position x vanna',
    volga                   Float64 COMMENT 'sum of position x volga',
    charm                   Float64 COMMENT 'sum of position x charm',
    delta_coin              Float64 COMMENT 'premium-adjusted, base coin',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, portfolio, currency, expiry_ts)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS variance_index
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant: ticks with exchange_ts <= this',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    days                    Float64 COMMENT 'maturity of the index',
    vol                     Float64 COMMENT 'model-free, with tails, decimal',
    quoted_vol              Float64 COMMENT 'from the quoted strikes alone, decimal',
    tail_share              Float64 COMMENT 'share of the variance beyond the quoted strikes',
    is_extrapolated         Bool COMMENT 'the maturity lies outside the listed expiries',
    near_expiry_years       Float64 COMMENT 'expiry before the maturity',
    far_expiry_years        Float64 COMMENT 'expiry after it; the same when only one was used',
    near_vol                Float64 COMMENT 'model-free volatility to the expiry before, decimal',
    far_vol                 Float64 COMMENT 'to the expiry after, decimal',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row',
    parameters_hash         LowCardinality(String) COMMENT 'hash of the parameters it used'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, days)
SETTINGS non_replicated_deduplication_window = 10000;

-- Of the whole history, and replaced as a whole: a rank or a month of returns is no property of one hour.
CREATE TABLE IF NOT EXISTS realised_volatility
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'end of the window, on the hour',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    window_days             Float64 COMMENT 'length of the window',
    realised_vol            Float64 COMMENT 'close to close on five-minute prices of the index, annualised, decimal',
    parkinson_vol           Nullable(Float64) COMMENT 'from highs and lows of hourly bars, decimal',
    garman_klass_vol        Nullable(Float64) COMMENT 'from hourly bars, decimal',
    atm_vol                 Nullable(Float64) COMMENT 'at-the-money volatility of the same maturity at the end of the window, decimal',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row'
)
ENGINE = MergeTree
ORDER BY (snapshot_ts, currency, window_days)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS volatility_regimes
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as-of instant, on the hour',
    currency                LowCardinality(String) COMMENT 'the market: BTC, ETH, BTC_USDC, …',
    window_days             Float64 COMMENT 'history that the rank is in: 90 or 365 days',
    atm_vol                 Float64 COMMENT 'at-the-money volatility at 30 days, decimal',
    percentile              Nullable(Float64) COMMENT 'share of the window below it, 0 to 100; NULL until there are 30 days',
    iv_rank                 Nullable(Float64) COMMENT 'place between lowest and highest of the window, 0 to 100; NULL until there are 30 days',
    regime                  LowCardinality(String) COMMENT 'unknown, low, normal or high, with hysteresis',
    code_version            LowCardinality(String) COMMENT 'version of the code that wrote the row'
)
ENGINE = MergeTree
ORDER BY (snapshot_ts, currency, window_days)
SETTINGS non_replicated_deduplication_window = 10000;

-- What the archive holds, as each part was verified by reading it back.
CREATE TABLE IF NOT EXISTS archive_manifest
(
    day                     Date COMMENT 'UTC day of the rows',
    table_name              LowCardinality(String) COMMENT 'table, or raw_frames',
    object_key              String COMMENT 'in the bucket',
    rows                    UInt64,
    content_checksum        UInt64 COMMENT 'order-independent hash of the rows',
    bytes                   UInt64 COMMENT 'size of the object',
    object_sha256           String COMMENT 'of the object, hexadecimal',
    first_ts                Nullable(DateTime64(6, 'UTC')) COMMENT 'smallest time in it',
    last_ts                 Nullable(DateTime64(6, 'UTC')) COMMENT 'largest time in it',
    verified_ts             DateTime64(6, 'UTC') COMMENT 'when it was read back; newest wins'
)
ENGINE = ReplacingMergeTree(verified_ts)
ORDER BY (day, table_name, object_key)
SETTINGS non_replicated_deduplication_window = 10000;
