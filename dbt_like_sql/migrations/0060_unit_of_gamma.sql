-- The second derivative of a price in USD by a forward in USD is in units of delta per USD; it was described as per USD
-- squared.
ALTER TABLE options_greeks COMMENT COLUMN IF EXISTS gamma 'delta per USD';
ALTER TABLE live_greeks COMMENT COLUMN IF EXISTS gamma 'delta per USD';
ALTER TABLE greeks_grid COMMENT COLUMN IF EXISTS gamma 'delta per USD';
