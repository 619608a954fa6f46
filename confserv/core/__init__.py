"""What the Configuration Server decides: pure, without IO, clock, randomness or protobuf."""
