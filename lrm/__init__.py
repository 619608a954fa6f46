"""License Reporting Manager: turns sessions of use into figures that can be billed."""
