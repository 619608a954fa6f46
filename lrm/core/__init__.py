"""The decisions of the License Reporting Manager: pure, without clock, network or database."""
