"""The process frame: what turns the data of a service into a running, observable, stoppable process."""
