"""The calls of the client, one file for each subject of the service."""
