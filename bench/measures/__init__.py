"""What is measured, a module for each: by whole processes beside each other, in one run."""
