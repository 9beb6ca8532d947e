"""Dead letters as people look at them: by what they died of."""
