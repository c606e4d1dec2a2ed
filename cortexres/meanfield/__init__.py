"""Mean-field theory of a circuit, from its definition alone: rates, gains, response times and stability."""
