"""What is given to others, made of a checkout: `./run package`."""
