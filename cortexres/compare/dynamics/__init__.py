"""What moves the states, on both sides: generators, time scales, tangling and dimension."""
