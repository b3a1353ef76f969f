"""Dashboards and alerts as code; ``python -m charts.monitoring`` writes the files."""
