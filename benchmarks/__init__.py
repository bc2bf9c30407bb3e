"""Speed and quality beside peers, as ratios in one run. Nothing imports this."""
