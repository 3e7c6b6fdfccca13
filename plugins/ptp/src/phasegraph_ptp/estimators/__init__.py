"""From packet stamps to a clock estimate: the plugin's own registry of estimators. Pure arithmetic."""
