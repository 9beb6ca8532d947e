"""How a worker hears of what stock clients enqueue, who leave no wake token."""
