"""The shop's api."""
