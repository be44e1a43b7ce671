"""Which edit format a model handles best: measured on small exercises, kept in the home, used in orders."""
