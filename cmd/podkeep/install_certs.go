package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/internal/installation"
	"github.com/podkeep/podkeep/webhook/registration"
	"github.com/podkeep/podkeep/webhook/serving"
)

// askTimeout bounds a request of a dry run, which works without a cluster too.
const askTimeout = 5 * time.Second

// chooseIssuer says who makes the webhook's certificates, and says so on standard
// error, where it is not part of the objects that a dry run prints.
func (f installFlags) chooseIssuer(cmd *cobra.Command, fac *factory, namespace string) (serving.Issuer, error) {
	found, err := f.findCertManager(cmd.Context(), fac, namespace)
	if err != nil {
		return "", err
	}
	issuer, why, err := installation.ChooseIssuer(f.webhookCerts, found)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "webhook certificates: %s (%s)\n", issuer, why)
	return issuer, nil
}

// findCertManager asks the cluster. A dry run that is told the issuer does not need
// one, and another that finds none goes on without.
func (f installFlags) findCertManager(ctx context.Context, fac *factory, namespace string) (installation.CertManager, error) {
	if f.dryRun && f.webhookCerts != installation.AutoIssuer {
		return installation.CertManager{}, nil
	}
	c, err := f.asker(fac)
	if err == nil {
		in := installation.Installer{Client: c}
		var found installation.CertManager
		if found, err = in.FindCertManager(ctx, registration.ConfigurationName(namespace)); err == nil {
			return found, nil
		}
	}
	if f.dryRun {
		return installation.CertManager{}, nil
	}
	return installation.CertManager{}, err
}

func (f installFlags) asker(fac *factory) (client.Client, error) {
	cfg, err := fac.RESTConfig()
	if err != nil {
		return nil, err
	}
	if f.dryRun {
		cfg.Timeout = askTimeout
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	return client.New(cfg, client.Options{Scheme: scheme})
}

// forgetOtherIssuer ends a switch from one issuer to the other.
func forgetOtherIssuer(ctx context.Context, in installation.Installer, o install.Options) error {
	others, err := install.OtherIssuerObjects(o)
	if err != nil {
		return err
	}
	return in.ForgetOtherIssuer(ctx, installation.Issued{
		Namespace: o.Namespace, Issuer: o.CertificateIssuer, Webhook: install.WebhookName, Others: others,
	})
}
