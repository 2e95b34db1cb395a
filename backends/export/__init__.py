"""Programs written in the formats that other tools read."""
