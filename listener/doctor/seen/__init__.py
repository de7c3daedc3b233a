"""What doctor looks at, as values: `store` and `neighbours` fill them, the judges read them. Ages are in seconds."""
