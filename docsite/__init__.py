"""Builds the site of `docs/`: its navigation, and the pages that the code itself writes."""
