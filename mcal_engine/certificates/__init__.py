"""What is drawn, what it tolerates and how it is read. These are rules alone: ``mcal_engine.looks`` and ``mcal_engine.peeling`` decide."""
