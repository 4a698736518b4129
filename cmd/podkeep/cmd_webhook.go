package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/podkeep/podkeep/internal/configmaps"
	"github.com/podkeep/podkeep/webhook"
)

type webhookFlags struct {
	roleFlags
	gateImage    string
	defaultToFSB bool
	port         int
	certDir      string
	configMaps   configmaps.Names
}

func newWebhookCommand(env func(string) string) *cobra.Command {
	var flags webhookFlags
	cmd := &cobra.Command{
		Use:    "webhook",
		Hidden: true,
		Short:  "Serve the admission webhooks",
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return runWebhook(cmd.Context(), flags) },
	}
	flags.bind(cmd, env)
	fs := cmd.Flags()
	fs.StringVar(&flags.gateImage, "gate-image", "", "image of restore-wait, when no ConfigMap names one")
	fs.BoolVar(&flags.defaultToFSB, "default-volumes-to-fs-backup", false, "the server's flag of the same name")
	fs.IntVar(&flags.port, "port", 9443, "port to serve at")
	fs.StringVar(&flags.configMaps.NodeAgent, "node-agent-configmap", "", "the node agent's flag of the same name")
	fs.StringVar(&flags.configMaps.Repository, "backup-repository-configmap", "", "the server's flag of the same name")
	fs.StringVar(&flags.configMaps.MaintenanceJobs, "repo-maintenance-job-configmap", "", "the server's flag of the same name")
	fs.StringVar(&flags.certDir, "cert-dir", "", "folder with tls.crt and tls.key (default: certificates of its own)")
	return cmd
}

func runWebhook(ctx context.Context, flags webhookFlags) error {
	if err := flags.validate(); err != nil {
		return err
	}
	mgr, err := flags.newManager(managerOptions{cache: webhook.CacheOptions(flags.namespace)})
	if err != nil {
		return err
	}
	server := &webhook.Server{
		Namespace: flags.namespace, ServerDefault: flags.defaultToFSB, DefaultGateImage: flags.gateImage,
		Port: flags.port, CertDir: flags.certDir, ConfigMaps: flags.configMaps,
	}
	if err := server.SetupWithManager(mgr); err != nil {
		return err
	}
	return start(ctx, mgr)
}
