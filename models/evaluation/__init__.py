"""Figures of a detector: average precision, false detections, FROC, with intervals."""
