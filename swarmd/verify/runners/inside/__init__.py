"""Scripts that run inside the sandbox, under the project's own interpreter (3.8 or later).

They import nothing of swarmd: they are copied into a folder of their own and started from there.
"""

__all__: list[str] = []
