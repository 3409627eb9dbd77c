"""The live screen of ``hullwatch top``: what is shown, how keys move it, and the terminal that it is drawn on."""
