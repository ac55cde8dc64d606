"""Tools for the dashboard's developers; none of them runs in the service."""
