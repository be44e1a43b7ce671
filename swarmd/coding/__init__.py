"""From a task to an edit: targets, prompts within a budget, tolerant reading of replies, attempts."""

__all__: list[str] = []
