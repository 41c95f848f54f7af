"""Families and links."""

from .records import FAMILIES, LINKS, Family, Link, resolve

__all__ = ["FAMILIES", "LINKS", "Family", "Link", "resolve"]
