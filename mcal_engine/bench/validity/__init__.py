"""How often an error target is broken, over hundreds of seeded campaigns."""
