package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/internal/installation"
	"github.com/podkeep/podkeep/webhook/serving"
)

type uninstallFlags struct {
	confirm bool
	timeout time.Duration
}

func newUninstallCommand(f *factory) *cobra.Command {
	var flags uninstallFlags
	cmd := &cobra.Command{
		Use:     "uninstall",
		GroupID: groupInstall,
		Short:   "Remove podkeep from the cluster; the backups in the bucket stay",
		Long: `Remove podkeep from the cluster.

Backups in the bucket stay. They cannot be read without the repository password:
save it first if this cluster made them.

  kubectl get secret velero-repo-credentials -n velero -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runUninstall(cmd, f, flags) },
	}
	cmd.Flags().BoolVar(&flags.confirm, "confirm", false, "do it: remove the namespace, the definitions and all Backup and Restore objects")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 2*time.Minute, "how long to wait until everything is gone")
	return cmd
}

func runUninstall(cmd *cobra.Command, f *factory, flags uninstallFlags) error {
	ns, err := f.Namespace()
	if err != nil {
		return err
	}
	if !flags.confirm {
		return fmt.Errorf("this removes namespace %s with the repository password and all Backup and Restore objects; save the password, then pass --confirm", ns)
	}
	objects, err := install.Objects(install.Options{
		Namespace: ns, Image: "none", CertificateIssuer: serving.CertManager, Monitoring: &install.Monitoring{},
	})
	if err != nil {
		return err
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	in := installation.Installer{Client: c, Out: cmd.OutOrStdout()}
	ctx, cancel := context.WithTimeout(cmd.Context(), flags.timeout)
	defer cancel()
	shared, err := in.OtherInstallations(ctx, ns)
	if err != nil {
		return err
	}
	var keep []string
	if len(shared) > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "definitions stay: namespaces %v use them\n", shared)
		keep = append(keep, "CustomResourceDefinition")
	}
	// Workloads go first, so that nothing puts a finalizer back.
	if err := in.Remove(ctx, objects, append(keep, "CustomResourceDefinition", "Namespace")...); err != nil {
		return err
	}
	if err := in.ReleaseFinalizers(ctx, ns, velerov1.PodVolumeFinalizer, velerov1.RestoreExternalResourcesFinalizer); err != nil {
		return err
	}
	if err := in.Remove(ctx, objects, keep...); err != nil {
		return err
	}
	if err := in.WaitRemoved(ctx, ns); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "podkeep is removed; the backups in the bucket are untouched")
	return nil
}
