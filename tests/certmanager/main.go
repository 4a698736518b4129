// Command certmanager is cert-manager for the test cluster: its own controllers
// and its cainjector, with what podkeep does not use left out (ACME, Vault,
// Venafi, ingresses, cluster issuers).
//
// It is a module of its own because nothing else should depend on what
// cert-manager depends on, and exists because cert-manager's commands are in
// modules that are not published. Its admission webhook, which only refuses and
// defaults what people write, is left out too: the API server checks the schemas
// of the definitions, and the defaults are those of the controllers.
//
// Usage: certmanager controller|cainjector. tests/suite builds and deploys it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "certmanager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 {
		switch args[0] {
		case "controller":
			return runControllers(ctx)
		case "cainjector":
			return runInjector(ctx)
		}
	}
	return fmt.Errorf("wrong arguments %q: want controller or cainjector", args)
}
