"""What joins the License Reporting Manager to files, databases and the network."""
