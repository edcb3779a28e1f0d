"""One party's life: config, identity, data, wire, transports, driver, launch, report and the command."""
