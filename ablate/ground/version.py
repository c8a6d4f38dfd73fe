"""The version of this package, which every record notes."""

VERSION = "0.1.0"
