"""Models: the catalogue of weights, the engines that run them, and the broker that alone talks to them.

Nothing heavy is loaded by importing this package or its ``client``: the model libraries load in the
broker when a provider is first used, and the engine's in its own process.
"""
