"""The local engine: dflow's debug mode under supervision."""
