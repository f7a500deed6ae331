"""The market that is simulated: boards, a surface that moves, quotes, tickers, trades."""
