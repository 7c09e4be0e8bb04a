"""What a typed line asks for: lines.py reads it, arguments.py its QMP arguments, and scanning.py its words, as HMP has them."""
