"""Calls, tokens and money: counted, limited, and recorded on a cassette."""
