"""Vectors of image regions from an ImageNet backbone, and the rules that compare them."""
