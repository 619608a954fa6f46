"""Where Solution Control looks, and through whom it acts: configuration, agents, members."""
