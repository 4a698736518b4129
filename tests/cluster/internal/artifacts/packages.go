package artifacts

import (
	"context"
	"strings"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
	"github.com/podkeep/podkeep/tests/cluster/internal/progress"
)

// EnsurePackages installs the Debian packages that are missing.
func EnsurePackages(ctx context.Context, out *progress.Printer) error {
	missing := missingPackages(ctx)
	if len(missing) == 0 {
		return nil
	}
	out.Printf("installing %s", strings.Join(missing, " "))
	if err := command.Run(ctx, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return command.Command{
		Env:  []string{"DEBIAN_FRONTEND=noninteractive"},
		Args: append([]string{"apt-get", "install", "-qq", "--yes", "--no-install-recommends"}, missing...),
	}.Run(ctx)
}

func missingPackages(ctx context.Context) []string {
	var missing []string
	for _, name := range cluster.Packages {
		// An unknown package makes dpkg-query fail, and is missing too.
		status, err := command.Command{
			Args: []string{"dpkg-query", "--show", "--showformat=${db:Status-Status}", name},
		}.Output(ctx)
		if err != nil || status != "installed" {
			missing = append(missing, name)
		}
	}
	return missing
}
