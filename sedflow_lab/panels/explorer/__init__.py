"""The SED model, parameter by parameter."""
