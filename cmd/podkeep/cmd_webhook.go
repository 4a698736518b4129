package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/podkeep/podkeep/internal/configmaps"
	"github.com/podkeep/podkeep/webhook"
	"github.com/podkeep/podkeep/webhook/serving"
)

type webhookFlags struct {
	roleFlags
	gateImage    string
	defaultToFSB bool
	port         int
	certDir      string
	configMaps   configmaps.Names
	drainTime    time.Duration
	issuer       string
	lifetimes    serving.Lifetimes
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
	fs.IntVar(&flags.port, "port", webhook.DefaultPort, "port to serve at")
	fs.StringVar(&flags.configMaps.NodeAgent, "node-agent-configmap", "", "the node agent's flag of the same name")
	fs.StringVar(&flags.configMaps.Repository, "backup-repository-configmap", "", "the server's flag of the same name")
	fs.StringVar(&flags.configMaps.MaintenanceJobs, "repo-maintenance-job-configmap", "", "the server's flag of the same name")
	fs.StringVar(&flags.certDir, "cert-dir", "", "folder with tls.crt and tls.key (default: certificates of its own)")
	fs.StringVar(&flags.issuer, "webhook-certs", string(serving.SelfSigned), "who makes the certificates: self-signed or cert-manager")
	fs.DurationVar(&flags.lifetimes.Authority, "authority-lifetime", 0, "of self-signed certificates (default 10 years)")
	fs.DurationVar(&flags.lifetimes.Certificate, "certificate-lifetime", 0, "of self-signed certificates (default 1 year)")
	fs.DurationVar(&flags.lifetimes.RenewBefore, "certificate-renew-before", 0, "how long before their end (default 90 days)")
	fs.DurationVar(&flags.drainTime, "drain-time", defaultDrainTime, "how long to go on answering when told to end, until nobody calls any more")
	return cmd
}

// defaultDrainTime is what it takes until every node knows that a replica is
// ending, twice: first new connections go elsewhere, then the API server's. With
// shutdownTimeout it must fit into the pod's grace period (config/install).
const defaultDrainTime = 10 * time.Second

func runWebhook(ctx context.Context, flags webhookFlags) error {
	if err := flags.validate(); err != nil {
		return err
	}
	issuer, err := serving.ParseIssuer("webhook-certs", flags.issuer)
	if err != nil {
		return err
	}
	if err := flags.lifetimes.Validate(); err != nil {
		return err
	}
	mgr, err := flags.newManager(managerOptions{cache: webhook.CacheOptions(flags.namespace)})
	if err != nil {
		return err
	}
	server := &webhook.Server{
		Namespace: flags.namespace, ServerDefault: flags.defaultToFSB, DefaultGateImage: flags.gateImage,
		Port: flags.port, CertDir: flags.certDir, DrainTime: flags.drainTime,
		CertificateIssuer: issuer, CertificateLifetimes: flags.lifetimes, ConfigMaps: flags.configMaps,
	}
	if err := server.SetupWithManager(mgr); err != nil {
		return err
	}
	lingering, stop := server.Linger(ctx)
	defer stop()
	return start(lingering, mgr)
}
