"""What joins the decisions of the License Reporting Manager to its ports, in an event loop."""
