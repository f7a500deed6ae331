-- Statistics of every column were made for every part and every merge of the derived tables, and nobody reads them.  A
-- day of a backfill arrives in six parts, which need no merging: with the usual base of 5 they were merged at once,
-- twice in staging and again here.
ALTER TABLE quotes_clean MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE quotes_rejected MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE interest_rates MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE forward_curve MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE surfaces MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE surface_grid MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE options_greeks MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE greeks_grid MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE greeks_by_expiry MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE portfolio_greeks MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE term_structure MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE skew_metrics MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE variance_index MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
