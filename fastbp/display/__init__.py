"""How results look: tables as text and HTML, pictures."""
