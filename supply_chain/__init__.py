"""The container image's lock file and bill of materials."""
