"""What runs inside the sandbox. Nothing of swarmd can be imported there."""
