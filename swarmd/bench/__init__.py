"""Measuring how many coding problems are solved: by one answer of a model, by another agent, by swarmd.

``dataset`` reads problems that the user has installed, ``suite`` makes small repositories of them,
``runners`` have them solved, ``judge`` decides by cases that nobody was shown, ``proxy`` stands between
the runners and the model and counts, ``results`` keeps one line for each problem, ``report`` compares.
"""
