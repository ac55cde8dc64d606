"""Scores of images: prediction, and the ways to make it faster."""
