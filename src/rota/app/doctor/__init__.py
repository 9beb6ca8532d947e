"""What a deployment needs, as `rota doctor` and the dashboard look at it: each finding says what to change."""
