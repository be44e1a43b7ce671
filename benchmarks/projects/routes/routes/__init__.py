"""Timetables and the way through them."""
