"""The verifier: applies what agents propose to a clean checkout, runs the gates, writes the evidence."""

__all__: list[str] = []
