"""What the product does, in steps that can be killed anywhere and run again."""
