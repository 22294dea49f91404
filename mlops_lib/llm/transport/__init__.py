"""The HTTP transport under every client of a vendor: limits, cassette, time-outs, accounting."""
